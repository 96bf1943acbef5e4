"""How a hole in trades or candles is refetched, published and checked."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from bus import timeframes
from bus.errors import RequestRefused
from bus.events import Candle, GapState, Trade
from daemon.collectors.interface import Collector
from daemon.exchanges.base import FeedKey, Span
from daemon.healing.checks import MINUTE, IdCheck, VolumeCheck


class Verdict(msgspec.Struct, frozen=True):
    """What became of a gap. `missing`: ids that the exchange's history lacks, in ranges with both ends included."""

    state: GapState
    reason: str
    missing: Sequence[tuple[int, int]] = ()


class Repair:
    """Refetches with one exchange's collector. All raise ExchangeUnavailable, RequestRefused and MalformedFrame."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def trades_by_id(self, symbol: str, span: Span, ranges: Sequence[tuple[int, int]]) -> list[Verdict]:
        """Refetch trades whose ids are known: a range of them is complete when every id has come.

        The span reaches over all ranges, both ends included; what lies between them is not published. What is
        missing on the bus is published, whatever the collector remembers: it may have been lost on the way there.
        """
        check = IdCheck()
        async for trades in self._trades(symbol, span):
            check.take(trades)
            wanted = [trade for trade in trades if any(first <= int(trade.id) <= last for first, last in ranges)]
            await self._publish(wanted, span, again=True)
        return [_verdict(first, last, check.missing(first, last)) for first, last in ranges]

    async def trades_by_volume(self, symbol: str, span: Span, *, again: bool = False) -> Verdict:
        """Refetch whole minutes of trades: complete when they add up to the exchange's own candles.

        Those within the span are published; with `again` also what has been published before.
        """
        start, end = span.start // MINUTE * MINUTE, -(-(span.end + 1) // MINUTE) * MINUTE
        minutes = Span(start, end - 1)
        check = VolumeCheck()
        async for trades in self._trades(symbol, minutes):
            check.take(trades)
            await self._publish(trades, span, again=again)
        said = f"{check.count} trades of {(end - start) // MINUTE} minutes from the exchange's history"
        try:
            bars = FeedKey(symbol, "candle", "1m")
            candles = [candle async for page in self._candles(bars, minutes) for candle in page]
        except RequestRefused as error:
            return Verdict("filled", f"{said}, not verified: {error}")
        if differing := check.differing(candles):
            return Verdict("unfillable", f"{said}; in {len(differing)} of them they do not add up to its candles")
        return Verdict("filled", f"{said}, adding up to its candles")

    async def trades_by_reach(self, symbol: str, span: Span, *, again: bool = False) -> Verdict | None:
        """Refetch the newest trades: complete when they begin before the span and reach its end, else None.

        Those within the span are published either way; `again` as above.
        """
        older = newer = False
        count = 0
        async for trades in self._trades(symbol, Span(0, span.end)):
            times = [trade.ts for trade in trades if trade.ts is not None]
            older |= any(time < span.start for time in times)
            newer |= any(time >= span.end for time in times)
            count += sum(time >= span.start for time in times)
            await self._publish(trades, span, again=again)
        said = f"{count} trades from the newest ones of the exchange, which reach back beyond it"
        return Verdict("filled", said) if older and newer else None

    async def candles(self, feed: FeedKey, span: Span) -> Verdict:
        """Refetch candles: complete when the exchange's history reaches over the span.

        A candle that is not in it stands for a time without trades; exchanges differ in whether they send those.
        """
        found: list[Candle] = []
        async for page in self._candles(feed, span):
            closed = [candle for candle in page if candle.closed and span.start <= candle.open_ts < span.end]
            found += closed
            await self._collector.publish(closed)
        wanted = _count(feed.timeframe, span)
        if found and len(found) < wanted:
            return Verdict("filled", f"{len(found)} candles from the exchange's history; it has no more in this time")
        if not found:
            return Verdict("unfillable", f"the exchange's history has none of {wanted} candles")
        return Verdict("filled", f"{len(found)} candles from the exchange's history")

    async def _trades(self, symbol: str, span: Span) -> AsyncIterator[list[Trade]]:
        async for page in self._collector.history(FeedKey(symbol, "trade"), span):
            yield [event for event in page if isinstance(event, Trade)]

    async def _candles(self, feed: FeedKey, span: Span) -> AsyncIterator[list[Candle]]:
        async for page in self._collector.history(feed, span):
            yield [event for event in page if isinstance(event, Candle)]

    async def _publish(self, trades: Sequence[Trade], span: Span, *, again: bool = False) -> None:
        """Publish those of a span; what has been published before only when that is wanted."""
        within = [trade for trade in trades if span.first_id or span.start <= (trade.ts or span.start) <= span.end]
        await self._collector.publish([trade for trade in within if self._collector.fresh(trade) or again])


def _verdict(first: int, last: int, missing: Sequence[tuple[int, int]]) -> Verdict:
    wanted, lacking = last - first + 1, sum(end - start + 1 for start, end in missing)
    if lacking:
        return Verdict("unfillable", f"the exchange's history lacks {lacking} of {wanted} trades", missing)
    return Verdict("filled", f"{wanted} trades from the exchange's history, complete by id")


def _count(timeframe: str, span: Span) -> int:
    """Return how many candles open within a span."""
    count, opening = 0, span.start
    while opening < span.end and (after := timeframes.following(timeframe, opening)) > opening:
        count, opening = count + 1, after
    return count
