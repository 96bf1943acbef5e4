"""What translators share in reading REST answers."""

from typing import Final

import msgspec

from bus.clock import MILLISECOND
from bus.errors import MalformedFrame, said
from bus.events import Source, Trade
from daemon.exchanges.base import Request, Span

_LATEST: Final = 9_200_000_000_000  # ms; beyond it (year 2261) int64 nanoseconds end


class Stamp(msgspec.Struct, frozen=True):
    """What all events of one answer share."""

    exchange: str
    symbol: str
    recv: int
    source: Source


def nanoseconds(time: str) -> int:
    """Return a time in ns of one that is written as a string of ms. Raises MalformedFrame."""
    if not (time.isascii() and time.isdecimal() and len(time) <= len(str(_LATEST)) and 0 < int(time) < _LATEST):
        raise MalformedFrame(f"{time[:40]!r} is no time in milliseconds")
    return int(time) * MILLISECOND


def ceil_ms(time: int) -> int:
    """Return the first whole millisecond that is not before a time in ns."""
    return -(-time // MILLISECOND)


def unreadable(request: Request, error: Exception) -> MalformedFrame:
    """Word what was wrong with the answer to a request."""
    return MalformedFrame(f"answer of {request.path}: {said(error)}"[:200])


def precedes(trade: Trade, span: Span) -> bool:
    """Tell whether a trade comes before a span; ids, which rise, tell it exactly."""
    if span.first_id is not None:
        return int(trade.id) < int(span.first_id)
    return trade.ts is not None and trade.ts < span.start


def belongs(trade: Trade, span: Span) -> bool:
    """Tell whether a trade belongs to a span."""
    if precedes(trade, span):
        return False
    if span.last_id is not None:
        return int(trade.id) <= int(span.last_id)
    return trade.ts is not None and trade.ts <= span.end
