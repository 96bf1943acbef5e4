"""One symbol: its minutes, from the exchange or from trades, and which candles have changed."""

from collections.abc import Iterator, Sequence
from typing import Final

from bus import timeframes
from bus.clock import SECOND
from bus.events import Candle, Trade
from handlers.candles.bar import Bar
from handlers.candles.hours import MINUTE, Hours
from handlers.candles.minute import Minute
from handlers.candles.past import Past

GRACE: Final = 2 * SECOND
"""Time (ns) after its end in which the last trades of a candle still come."""
SETTLED: Final = 15 * SECOND
"""Time (ns) after which gaps are found, and what has come is stored."""
KEPT: Final = 10
"""Minutes that are kept with their trades, for what comes late; of older ones the rest is asked for."""
REMEMBERED: Final = 128
"""Candles of which it is remembered what the exchange and we have said of them."""


class Line:
    """Minutes are the exchange's own where it sends them, else made of trades. Times are ns; `now` is the wall clock.

    What needs the past raises StoreUnavailable.
    """

    def __init__(self, exchange: str, symbol: str, past: Past, lengths: Sequence[str]) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._past = past
        self._lengths = [length for length in lengths if length != "1m"]
        self._hours = Hours(exchange, symbol, past)
        self._forming: dict[int, Minute] = {}
        self._open: set[int] = set()
        """Minutes of trades that have changed since they were last closed."""
        self._running: Bar | None = None
        """The exchange's own minute, while it is open."""
        self._since: int | None = None
        """From here on everything is known."""
        self._began: int | None = None
        """The minute of the first trade: what came before it in that minute is stored, or was never seen."""
        self.own: dict[tuple[str, int], Bar] = {}
        """The exchange's own closed candles, the newest ones."""
        self.delivered: set[str] = set()
        """Lengths of which the exchange sends candles."""
        self.changed: dict[tuple[str, int], int] = {}
        """Candles to be told anew, length and opening, and when (ns): not before they have ended."""

    async def trade(self, trade: Trade) -> None:
        """Take a trade."""
        if trade.ts is None:
            return
        opening = trade.ts // MINUTE * MINUTE
        minute = self._forming.get(opening)
        if minute is None:
            if "1m" in self.delivered and self._old(opening):
                return  # the exchange's own minute counts
            minute = await self._minute(opening)
        if minute.add(trade.id, trade.ts, trade.price, trade.amount):
            self._open.add(opening)

    async def _minute(self, opening: int) -> Minute:
        """Begin a minute; of one that began before we did, or that is not kept any more, the rest is asked for."""
        if self._began is None:
            self._began = opening
            await self._know(opening + MINUTE)
        minute = Minute(opening)
        if opening <= self._began or self._old(opening):
            for stored in await self._past.trades(self.exchange, self.symbol, opening, opening + MINUTE):
                minute.add(*stored)
        self._forming[opening] = minute
        self._open.add(opening)  # also where what is stored has this trade already
        return minute

    def _old(self, opening: int) -> bool:
        """Whether a minute is not kept any more."""
        return opening <= max(self._forming, default=opening) - KEPT * MINUTE

    async def _know(self, first: int) -> None:
        """Find out from when on everything is known, of which `first` is the first here."""
        if self._since is None:
            stored = await self._past.since(self.exchange, self.symbol)
            self._since = first if stored is None else min(first, stored)

    async def candle(self, candle: Candle) -> None:
        """Take one of the exchange's own candles."""
        if timeframes.following(candle.timeframe, 0) < MINUTE:
            return  # made of less than a minute: nothing here adds up to it
        bar = Bar.of(candle)
        self.delivered.add(candle.timeframe)
        if candle.closed:
            self.own[candle.timeframe, candle.open_ts] = bar
            for key in list(self.own)[:-REMEMBERED]:
                del self.own[key]
        if candle.timeframe != "1m":
            self._change(candle.timeframe, candle.open_ts, candle.recv)
        elif candle.closed:
            await self._know(candle.open_ts)
            await self._close(bar, candle.recv)
        else:
            self._running = bar
            self._touch(bar.open_ts, candle.recv)

    async def close_minutes(self, now: int) -> None:
        """Close the minutes of trades that have ended by now."""
        for opening in sorted(self._open):
            if opening + MINUTE + GRACE > now:
                continue
            bar = self._forming[opening].bar
            if bar is not None and "1m" not in self.delivered:
                await self._close(bar, now)
            self._change("1m", opening, now)
            self._open.remove(opening)
        for old in sorted(self._forming)[:-KEPT]:
            if old not in self._open:
                del self._forming[old]

    async def _close(self, bar: Bar, now: int) -> None:
        if await self._hours.put(bar):
            self._change("1m", bar.open_ts, now)
            self._touch(bar.open_ts, now)

    def _touch(self, opening: int, now: int) -> None:
        """Say that a minute has changed: so has every longer candle that it lies in."""
        for length in self._lengths:
            self._change(length, timeframes.opening(length, opening), now)

    def _change(self, length: str, opening: int, now: int) -> None:
        """Have a candle told when it has ended. One that ended long ago may be made of what is just being stored."""
        ended = timeframes.following(length, opening)
        self.changed[length, opening] = ended + GRACE if now < ended + MINUTE else now + SETTLED

    def running(self) -> Iterator[tuple[str, int]]:
        """Yield the candles that lie in a minute of trades which is not over."""
        if self._open and "1m" not in self.delivered:
            opening = max(self._open)
            yield "1m", opening
            for length in self._lengths:
                yield length, timeframes.opening(length, opening)

    def traded(self, opening: int) -> Bar | None:
        """Return a minute as its trades make it, None where not all of them were seen."""
        whole = self._began is not None and opening > self._began
        return self._forming[opening].bar if whole and opening in self._forming else None

    async def bar(self, timeframe: str, opening: int) -> Bar | None:
        """Return a candle as far as it has come, None where its beginning is not known or it has nothing in it."""
        if self._since is None or opening < self._since:
            return None
        return await self._hours.bar(timeframe, opening, self._live())

    def _live(self) -> Bar | None:
        """Return the minute that is not over."""
        if "1m" in self.delivered:
            return self._running
        return self._forming[max(self._open)].bar if self._open else None
