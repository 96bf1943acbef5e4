"""What translators share in reading REST answers."""

from typing import Final

import msgspec

from bus.clock import MILLISECOND
from bus.errors import MalformedFrame
from bus.events import Source
from daemon.exchanges.base import Request

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
    return MalformedFrame(f"answer of {request.path}: {error or type(error).__name__}"[:200])
