"""How a hole in trades or candles is refetched, published and checked."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from bus import timeframes
from bus.errors import RequestRefused
from bus.events import Candle, GapState, Trade
from daemon.collectors.interface import Collector
from daemon.exchanges.base import FeedKey, Span
from daemon.healing.checks import MINUTE, IdCheck, VolumeCheck, minutes


class Verdict(msgspec.Struct, frozen=True):
    """What became of a gap. `missing`: ids that the exchange's history lacks, in ranges with both ends included."""

    state: GapState
    reason: str
    missing: Sequence[tuple[int, int]] = ()


class Part(msgspec.Struct, frozen=True):
    """One gap's part of the trades that are refetched by time.

    `again`: what has been published before is published again, since it may have been lost on its way.
    """

    span: Span
    again: bool = False


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
            for trade in wanted:
                self._collector.fresh(trade)  # what comes of it by the stream is known from now on
            await self._collector.publish(wanted)
        return [_verdict(first, last, check.missing(first, last)) for first, last in ranges]

    async def trades_by_volume(self, symbol: str, parts: Sequence[Part]) -> list[Verdict]:
        """Refetch whole minutes of trades: a part is complete when its minutes add up to the exchange's own candles.

        Those within a part are published. The parts' minutes follow on one another.
        """
        start, end = minutes(min(part.span.start for part in parts), max(part.span.end for part in parts))
        whole = Span(start, end - 1)
        check = VolumeCheck()
        async for trades in self._trades(symbol, whole):
            check.take(trades)
            await self._publish_parts(trades, parts)
        try:
            bars = FeedKey(symbol, "candle", "1m")
            candles = [candle async for page in self._candles(bars, whole) for candle in page]
        except RequestRefused as error:
            return [Verdict("filled", f"{_said(check, part)}, not verified: {error}") for part in parts]
        differing = check.differing(candles)
        return [_added_up(check, part, differing) for part in parts]

    async def trades_by_reach(self, symbol: str, parts: Sequence[Part]) -> list[Verdict | None]:
        """Refetch the newest trades: a part is complete when they begin before it and reach its end, else None.

        Those within a part are published either way.
        """
        times: list[int] = []
        async for trades in self._trades(symbol, Span(0, max(part.span.end for part in parts))):
            times += [trade.ts for trade in trades if trade.ts is not None]
            await self._publish_parts(trades, parts)
        return [_reached(times, part.span) for part in parts]

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

    async def _publish_parts(self, trades: Sequence[Trade], parts: Sequence[Part]) -> None:
        """Publish those of the parts; what has been published before only where that is wanted."""
        wanted = []
        for trade in trades:
            within = [part for part in parts if _is_within(trade, part.span)]
            if within and (self._collector.fresh(trade) or any(part.again for part in within)):
                wanted.append(trade)
        await self._collector.publish(wanted)


def _is_within(trade: Trade, span: Span) -> bool:
    return trade.ts is None or span.first_id is not None or span.start <= trade.ts <= span.end


def _said(check: VolumeCheck, part: Part) -> str:
    start, end = minutes(part.span.start, part.span.end)
    return f"{check.count(start, end)} trades of {(end - start) // MINUTE} minutes from the exchange's history"


def _added_up(check: VolumeCheck, part: Part, differing: Sequence[int]) -> Verdict:
    start, end = minutes(part.span.start, part.span.end)
    said = _said(check, part)
    if wrong := sum(start <= minute < end for minute in differing):
        return Verdict("unfillable", f"{said}; in {wrong} of them they do not add up to its candles")
    return Verdict("filled", f"{said}, adding up to its candles")


def _reached(times: Sequence[int], span: Span) -> Verdict | None:
    if not (any(time < span.start for time in times) and any(time >= span.end for time in times)):
        return None
    count = sum(span.start <= time <= span.end for time in times)
    return Verdict("filled", f"{count} trades from the newest ones of the exchange, which reach back beyond it")


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
