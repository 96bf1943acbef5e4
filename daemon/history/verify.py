"""Whether the history of a feed is complete in the database: by its grid, by ids, or against the exchange's candles."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from bus import timeframes
from bus.clock import SECOND
from bus.errors import RequestRefused
from bus.events import Candle
from daemon.collectors.interface import Collector
from daemon.exchanges import contiguous
from daemon.exchanges.base import FeedKey, Span
from daemon.history import slices
from daemon.history.slices import Slice
from daemon.history.stored import Stored

MINUTE: Final = 60 * SECOND
DAY: Final = 1_440 * MINUTE
LISTED: Final = 20
"""Holes that a report lists one by one."""


class Check(msgspec.Struct, frozen=True):
    """What was found of one feed. `missing` counts candles, trades, or minutes whose volume differs, as `by` says."""

    feed: FeedKey
    by: str
    rows: int
    missing: int
    holes: list[tuple[int, int]] = []
    """The first of them: times in ns (trade ids where `by` is "ids"), both ends included."""
    reason: str = ""
    compared: int = 0
    """Longer candles that were compared with their minutes: those of which every minute is stored."""
    differ: int = 0
    differing: list[str] = []
    """Which of them differ and in what, the first ones."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and the exchange refused nothing."""
        return not self.missing and not self.reason

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = msgspec.to_builtins(self)
        return {**told.pop("feed"), **told, "complete": self.complete}


async def verify(
    collector: Collector, stored: Stored, feed: FeedKey, start: int, end: int, refused: str | None
) -> Check:
    """Check what stands of a feed between two times (ns), after `refused` by the exchange.

    Raises StoreUnavailable, ExchangeUnavailable, MalformedFrame.
    """
    reason = refused or ""
    if feed.timeframe:
        there = set(await stored.candles(feed, start, end))
        holes = [opening for opening in slices.openings(feed.timeframe, start, end) if opening not in there]
        compared, unlike = await _against_minutes(stored, feed, start, end)
        ranges = _ranges(holes, feed.timeframe)
        counts = compared, len(unlike)
        return Check(feed, "grid", len(there), len(holes), ranges, reason, *counts, unlike[:LISTED])
    standing = await stored.standing(Slice(feed, start, end, whole=False))
    if collector.name in contiguous():
        ranges = await stored.missing_ids(feed, start, end)
        lacking = sum(last - first + 1 for first, last in ranges)
        return Check(feed, "ids", standing.rows, lacking, ranges[:LISTED], reason)
    try:
        differing = await _differing(collector, stored, feed, start, end)
    except RequestRefused as error:
        return Check(feed, "nothing", standing.rows, 0, reason=reason or f"not verified: {error}")
    return Check(feed, "volume", standing.rows, len(differing), _ranges(differing, "1m"), reason)


async def _against_minutes(stored: Stored, feed: FeedKey, start: int, end: int) -> tuple[int, list[str]]:
    """Compare longer candles with what their minutes add up to."""
    length = timeframes.following(feed.timeframe, 0)
    if not MINUTE < length <= DAY:
        return 0, []
    rows = await stored.against_minutes(feed, start, end, length)
    differing = []
    for row in rows:
        names = [name for name in ("open", "high", "low", "close", "volume") if row[name] != row[f"{name}_m"]]
        if names:
            opening = datetime.fromtimestamp(row["ts"] // SECOND, UTC).isoformat()
            told = ", ".join(f"{name} {row[name]:f}, by its minutes {row[f'{name}_m']:f}" for name in names)
            differing.append(f"{opening} {told}")
    return len(rows), differing


async def _differing(collector: Collector, stored: Stored, feed: FeedKey, start: int, end: int) -> list[int]:
    """Return the whole minutes (ns) whose trades do not add up to the exchange's own candles."""
    first, after = -(-start // MINUTE) * MINUTE, end // MINUTE * MINUTE
    stated: dict[int, Decimal] = {}
    bars = FeedKey(feed.symbol, "candle", "1m")
    async for page in collector.history(bars, Span(first, after - 1)):
        stated.update(
            (c.open_ts, Decimal(c.volume)) for c in page if isinstance(c, Candle) and first <= c.open_ts < after
        )
    summed = {row["ts"]: row["volume"] for row in await stored.volumes(feed, first, after)}
    minutes = sorted(stated.keys() | summed.keys())
    return [minute for minute in minutes if stated.get(minute, Decimal()) != summed.get(minute, Decimal())]


def _ranges(opens: Iterable[int], timeframe: str) -> list[tuple[int, int]]:
    """Put candles that follow on each other together, and return the first ranges."""
    found: list[tuple[int, int]] = []
    for opening in opens:
        if found and slices.candles(timeframe, found[-1][1] + 1, opening + 1) == 1:
            found[-1] = found[-1][0], opening
        else:
            found.append((opening, opening))
    return found[:LISTED]
