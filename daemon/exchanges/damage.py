"""What a damaged message may have been about, where trades have no numbers that would show that some are missing."""

from collections.abc import Callable, Sequence
from re import Pattern

from msgspec import Struct

from daemon.exchanges.base import FeedKey


class Signs(Struct, frozen=True):
    """What an exchange's messages are known by, in part."""

    trades: Pattern[bytes]
    """What messages of trades have, and almost no others."""
    others: Pattern[bytes]
    """What shows that a message was none of trades."""
    name: Pattern[bytes]
    """A symbol's name, which is its group."""


def torn_trades(frame: bytes, signs: Signs, find: Callable[[str], str | None]) -> Sequence[FeedKey] | None:
    """Return the feed of trades that a damaged message was about, if any; None where that cannot be told.

    `find` gives the unified symbol of an exchange's name. A name that has become another one is not noticed.
    """
    if not frame.strip() or (signs.others.search(frame) and not signs.trades.search(frame)):
        return ()
    for name in signs.name.findall(frame):
        if (symbol := find(name.decode())) is not None:
            return [FeedKey(symbol, "trade")]
    return None
