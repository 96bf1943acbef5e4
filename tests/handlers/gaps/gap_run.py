"""A gap handler in the life it leads: batches, ticks, crashes, a failing state store, and the ledger it writes."""

import asyncio
from collections.abc import Mapping

from bus.clock import SECOND
from bus.errors import BusUnavailable
from bus.events import Book, Candle, Event, Feed, Gap, Ticker, Trade
from bus.handler import Batch
from bus.local import LocalState
from handlers.gaps import GapHandler

T0 = 1_723_161_240 * SECOND
MINUTE = 60 * SECOND
BTC = "BTC/USDT"


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def trade(number: int, seconds: float = 0.0, exchange: str = "binance", symbol: str = BTC) -> Trade:
    ts = at(seconds)
    return Trade(exchange, symbol, ts, ts + 1_000_000, "ws", str(number), "1", "1", "buy")


def candle(minute: int, *, closed: bool = True, timeframe: str = "1m", source: str = "ws") -> Candle:
    ts = T0 + (minute + 1) * MINUTE
    return Candle("binance", BTC, ts, ts, source, timeframe, T0 + minute * MINUTE, "1", "1", "1", "1", "1", 1, closed)


def delta(first: int | None, last: int, seconds: float = 0.0, symbol: str = BTC, prev: int | None = None) -> Book:
    return Book("binance", symbol, at(seconds), at(seconds), "ws", "delta", [], [], first, last, prev)


def snapshot(last: int, seconds: float = 0.0) -> Book:
    return Book("binance", BTC, None, at(seconds), "rest", "snapshot", [], [], None, last)


def ticker(seconds: float, symbol: str = BTC) -> Ticker:
    return Ticker("binance", symbol, None, at(seconds), "ws", "1", "1", "2", "1")


def feed(seconds: float, state: str, channel: str = "ticker", symbol: str = BTC, reason: str = "gone") -> Feed:
    return Feed(at(seconds), "binance", symbol, channel, state, reason)


class FailingState(LocalState):
    """Refuses to save as often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.last: Mapping[str, bytes] = {}

    async def save(self, handler: str, changes: Mapping[str, bytes]) -> None:
        if self.failures:
            self.failures -= 1
            raise BusUnavailable("not now")
        self.last = changes
        await super().save(handler, changes)


class Run:
    """A handler fed batch by batch; `ledger` keeps each gap's newest state as the database does."""

    def __init__(self) -> None:
        self.state = FailingState()
        self.ledger: dict[str, Gap] = {}
        self.gaps: list[Gap] = []
        self.restart()

    def restart(self) -> None:
        self.handler = GapHandler(frozenset({"binance"}))
        asyncio.run(self.handler.start(self.state))

    def feed(self, *events: Event) -> list[Gap]:
        return self._publish(asyncio.run(self.handler.handle(Batch(events))))

    def tick(self, seconds: float) -> list[Gap]:
        return self._publish(asyncio.run(self.handler.tick(at(seconds))))

    def wait(self, seconds: float) -> list[Gap]:
        """Let time pass up to a moment with nothing coming in."""
        return [*self.tick(seconds - 3), *self.tick(seconds)]

    def crash_on(self, *events: Event) -> None:
        """Die after the state is saved and before anything is published; the batch comes again."""
        asyncio.run(self.handler.handle(Batch(events)))
        self.restart()
        self.feed(*events)

    def fail_to_save(self, *events: Event) -> None:
        """The state cannot be saved at first; the same handler is given the same batch again."""
        self.state.failures = 1
        try:
            self.feed(*events)
        except BusUnavailable:
            self.feed(*events)
        self.state.failures = 0

    def open_ids(self) -> set[int]:
        return {
            number
            for gap in self.ledger.values()
            if gap.state == "open"
            for number in range(int(gap.from_id or 0), int(gap.to_id or 0) + 1)
        }

    def _publish(self, found: object) -> list[Gap]:
        gaps = [gap for gap in found if isinstance(gap, Gap)]
        self.gaps += gaps
        for gap in gaps:
            if gap.id not in self.ledger or gap.ts >= self.ledger[gap.id].ts:
                self.ledger[gap.id] = gap
        return gaps
