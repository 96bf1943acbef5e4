"""Pages through what an exchange keeps of a feed's past, by time."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from bus import timeframes
from bus.clock import MILLISECOND, SECOND, Clock
from bus.errors import MalformedFrame, RequestRefused
from bus.events import Candle, Trade
from daemon.collectors.ccxt import translate
from daemon.collectors.ccxt.catalogue import CHANNELS
from daemon.collectors.ccxt.catalogue import timeframes as timeframes_of
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.memory import TradeMemory
from daemon.collectors.ccxt.rest import CcxtRest, since
from daemon.collectors.ccxt.translate import Origin
from daemon.collectors.gate import Gate
from daemon.collectors.rest import SPARE
from daemon.exchanges.base import FeedKey, Span, Translated

DEADLINE: Final = 300.0
"""Seconds that a page waits until others leave room."""
SETTLING: Final = 5 * SECOND
"""Time (ns) after its end from which on a candle counts as closed."""
MOST_PAGES: Final = 10_000
REACH: Final = 600 * SECOND
"""Time (ns) before a span in which a trade shows that the history reaches back to it, where no candles can."""


class CcxtHistory:
    """Trades and candles of one exchange. Not every exchange lets one ask by time; then there is what it gives."""

    def __init__(self, name: str, exchange: Any, rest: CcxtRest, intake: CcxtIntake, gate: Gate, clock: Clock) -> None:
        self._name = name
        self._has = exchange.has
        self._verifiable = bool(self._has.get("fetchOHLCV")) and "1m" in timeframes_of(exchange)
        self._rest = rest
        self._intake = intake
        self._gate = gate
        self._clock = clock

    async def pages(self, feed: FeedKey, span: Span) -> AsyncIterator[list[Translated]]:
        """Give a part of a feed's history, oldest first; pages may overlap.

        Raises ExchangeUnavailable, RequestRefused, MalformedFrame.
        """
        if feed.channel not in {"trade", "candle"} or not self._has.get(CHANNELS[feed.channel].can_fetch):
            raise RequestRefused(f"{self._name} keeps no history of {feed.channel} messages")
        proven = feed.channel == "candle" or self._verifiable
        start = span.start if proven else span.start - REACH
        for _ in range(MOST_PAGES):
            await self._gate.weight.acquire(1, DEADLINE, SPARE)
            method = CHANNELS[feed.channel].fetch
            rows = await self._rest.call(method, *since(feed, start))
            events = self._read(feed, rows, self._rest.noted_page(method))
            if not proven and not (events and (events[0].ts or 0) < span.start):
                raise RequestRefused(f"nothing shows that the history of {self._name} reaches back to this time")
            if not events:
                return
            proven = True
            self._compare(feed, events)
            within = [event for event in events if span.start <= (event.ts or 0) <= span.end]
            if within:
                yield within
            newest = max(event.ts or 0 for event in events)
            if newest < start or (start := self._next(feed, start, newest)) > span.end:
                return

    def _compare(self, feed: FeedKey, events: Sequence[Translated]) -> None:
        """Raise RequestRefused where the history has other ids than the stream: its trades would come twice."""
        trades = [event for event in events if isinstance(event, Trade)]
        if self._intake.memory.trades(feed.symbol).differently_named(trades):
            raise RequestRefused(f"{self._name} has other trade ids in its history than in its stream")

    def _next(self, feed: FeedKey, start: int, newest: int) -> int:
        """Return where the next page begins: at the newest trade, whose time others may share; beyond it if stuck."""
        if feed.timeframe:
            return timeframes.following(feed.timeframe, newest)
        return newest if newest // MILLISECOND > start // MILLISECOND else newest + MILLISECOND

    def _read(self, feed: FeedKey, rows: Sequence[Any], origin: Origin) -> list[Translated]:
        names = TradeMemory()  # for each page: one that begins at a time has all trades of that time
        try:
            if feed.timeframe:
                return [self._candle(feed, row, origin) for row in sorted(rows, key=lambda row: row[0])]
            ordered = sorted(rows, key=lambda row: row["timestamp"])
            return [self._trade(feed, row, origin, names) for row in ordered]
        except (LookupError, TypeError, ValueError) as error:
            reason = f"{self._name}: history not as expected: {error!r}"
            self._intake.failed(reason)
            raise MalformedFrame(reason) from error

    def _trade(self, feed: FeedKey, row: Any, origin: Origin, names: TradeMemory) -> Trade:
        return translate.trade(feed.symbol, row, origin, "" if row.get("id") else names.name(row))

    def _candle(self, feed: FeedKey, row: Any, origin: Origin) -> Candle:
        ended = timeframes.following(feed.timeframe, int(row[0]) * MILLISECOND)
        return translate.candle(feed, row, origin, closed=ended + SETTLING <= self._clock.now())
