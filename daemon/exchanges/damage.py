"""What a damaged message may have been about, where nothing else would show that something is missing."""

from collections.abc import Callable, Collection
from re import Pattern

from msgspec import Struct


class Signs(Struct, frozen=True):
    """What one kind of an exchange's messages is known by, in part."""

    own: Pattern[bytes]
    """What messages of the kind have, and almost no others."""
    others: Pattern[bytes]
    """What shows that a message was none of them."""
    name: Pattern[bytes]
    """A symbol's name, which is its group."""


def named(frame: bytes, signs: Signs, known: Callable[[str], bool]) -> Collection[str] | None:
    """Return the known names in a damaged message of a kind, none where it was of another one.

    None where it cannot be told. A name that has become another known one is not noticed.
    """
    if not frame.strip() or (signs.others.search(frame) and not signs.own.search(frame)):
        return ()
    return {name for raw in signs.name.findall(frame) if known(name := raw.decode(errors="replace"))} or None
