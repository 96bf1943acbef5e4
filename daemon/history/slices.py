"""Cuts a feed's history into the parts that are asked for one by one."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from bus import timeframes
from bus.clock import SECOND
from daemon.exchanges.base import FeedKey

CANDLES: Final = 1_000
"""Candles in a slice: what most exchanges answer at once."""
TRADES: Final = 3_600 * SECOND
"""Time in a slice of trades (ns)."""


class Slice(NamedTuple):
    """A part of a feed's history: times in ns, `end` is not in it. `whole`: it was not cut short at either end."""

    feed: FeedKey
    start: int
    end: int
    whole: bool


def last_closed(feed: FeedKey, end: int, now: int) -> int:
    """Return the end of what can be had of a feed until `end`: candles that are not closed yet are not asked for."""
    return min(end, timeframes.opening(feed.timeframe, now)) if feed.timeframe else end


def slices(feed: FeedKey, start: int, end: int) -> Iterator[Slice]:
    """Yield the slices from `start` to `end` (ns); they lie on one grid for all downloads, cut at both ends."""
    width = _width(feed)
    if start >= end:
        return
    if width is None:
        yield Slice(feed, start, end, whole=False)
        return
    for begin in range(start // width * width, end, width):
        cut = max(begin, start), min(begin + width, end)
        yield Slice(feed, *cut, whole=cut == (begin, begin + width))


def count(feed: FeedKey, start: int, end: int) -> int:
    """Return how many slices there are, without making them."""
    width = _width(feed)
    if start >= end:
        return 0
    return 1 if width is None else -(-end // width) - start // width


def candles(timeframe: str, start: int, end: int) -> int:
    """Return how many candles open from `start` to before `end` (ns)."""
    last, before = timeframes.number(timeframe, end - 1), timeframes.number(timeframe, start - 1)
    return 0 if last is None or before is None else max(0, last - before)


def openings(timeframe: str, start: int, end: int) -> Iterator[int]:
    """Yield when candles open, from `start` to before `end` (ns)."""
    opening = timeframes.opening(timeframe, start)
    if opening < start:
        opening = timeframes.following(timeframe, opening)
    while opening < end:
        yield opening
        opening = timeframes.following(timeframe, opening)


def _width(feed: FeedKey) -> int | None:
    """Return the length of a whole slice (ns); None for candles of months: there are few, and they differ in length."""
    if not feed.timeframe:
        return TRADES
    return None if feed.timeframe.endswith("M") else CANDLES * timeframes.following(feed.timeframe, 0)
