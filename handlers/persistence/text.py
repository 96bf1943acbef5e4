"""PostgreSQL's COPY text format: values to text, as cheaply as Python can, without changing a digit.

https://www.postgresql.org/docs/current/sql-copy.html (File Formats, Text Format)
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.errors import Poison
from bus.events import Level

NULL: Final = r"\N"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_SPECIAL: Final = bytes(_ESCAPES)
_NINETEEN_DIGITS: Final = 10**18
"""A moment in 2001: what is later has nine digits after those of the second and none missing before."""
_LEVELS: Final = re.compile(r"[0-9.eE+\-{},]*")


@lru_cache(maxsize=4_096)
def _second(seconds: int | str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S")


def timestamp(ns: int) -> str:
    """A moment (ns since the epoch) to the microsecond, which is what timestamptz holds."""
    if ns >= _NINETEEN_DIGITS:
        digits = str(ns)  # cutting them costs two thirds of dividing
        return f"{_second(digits[:-9])}.{digits[-9:-3]}+00"
    seconds, rest = divmod(ns, SECOND)
    return f"{_second(seconds)}.{rest // MICROSECOND:06d}+00"


def timestamp_or_null(ns: int | None) -> str:
    """The same, for a moment that may be unknown."""
    return NULL if ns is None else timestamp(ns)


def text(value: str | None) -> str:
    """Any text, however hostile."""
    if value is None:
        return NULL
    # Everything that must be escaped but the backslash is unprintable; asking costs a fifth of translating.
    return value if value.isprintable() and "\\" not in value else value.translate(_ESCAPES)


def is_plain(lines: bytes, cells: int) -> bool:
    """Whether lines made of so many cells are right without escaping: none of these but what ends cells."""
    return len(lines) - len(lines.translate(None, _SPECIAL)) == cells


def number(value: str | int | None) -> str:
    """A number as its digits; what is no number is refused by the database."""
    return text(value) if value is None or type(value) is str else str(value)


def boolean(value: bool) -> str:  # noqa: FBT001 # it is what is written
    """A truth value."""
    return "t" if value else "f"


def levels(side: Sequence[Level]) -> str:
    """Price levels as the array {{price,amount},…}. Raises Poison for one that would not stay one pair of numbers."""
    if not side:
        return "{}"
    pairs = ",".join([f"{{{price},{amount}}}" for price, amount in side])
    if _LEVELS.fullmatch(pairs) is None or pairs.count(",") != 2 * len(side) - 1:
        raise Poison(f"a price level of a book is no pair of numbers: {pairs[:200]!r}")
    return f"{{{pairs}}}"


def payload(value: bytes) -> str:
    """Raw bytes as bytea."""
    return r"\\x" + value.hex()
