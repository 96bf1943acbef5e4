"""Remembers of every symbol the newest price and the last 24 hours; of two that say something the newer one counts."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

import msgspec

from bus.clock import SECOND
from bus.events import Event, Ticker, Trade

Key: TypeAlias = tuple[str, str]
"""Exchange and symbol."""

STALE: Final = 60 * SECOND
"""Age (ns) from which statistics should be looked up in the database: no ticker keeps them fresh."""


class Statistics(NamedTuple):
    """The last 24 hours as of `time` (ns); decimal strings, None where nobody has said."""

    time: int
    open: str | None
    high: str | None
    low: str | None
    volume: str | None


class Quote(msgspec.Struct, frozen=True):
    """What is known of one symbol. `ts` (ns) is when the price was made, `age` seconds since; both None without one."""

    exchange: str
    symbol: str
    ts: int | None = None
    age: float | None = None
    price: str | None = None
    change_24h: str | None = None
    change_24h_percent: str | None = None
    volume: str | None = None
    high_24h: str | None = None
    low_24h: str | None = None


class LatestPrices:
    """Takes trades and tickers as they come, and rows of the database; out of order is harmless."""

    def __init__(self) -> None:
        self._prices: dict[Key, tuple[int, str]] = {}
        self._statistics: dict[Key, Statistics] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._prices

    def __iter__(self) -> Iterator[Key]:
        return iter(self._prices)

    def take(self, event: Event) -> None:
        """Learn from an event: a trade's price, a ticker's last price and statistics."""
        if type(event) is Trade:
            self._price((event.exchange, event.symbol), event.recv if event.ts is None else event.ts, event.price)
        elif type(event) is Ticker:
            key, time = (event.exchange, event.symbol), event.recv if event.ts is None else event.ts
            if event.last is not None:
                self._price(key, time, event.last)
            if event.open is not None:
                self._learn(key, Statistics(time, event.open, event.high, event.low, event.volume))

    def seed(self, key: Key, price: str, statistics: Statistics) -> None:
        """Learn what the database knows."""
        self._price(key, statistics.time, price)
        self._learn(key, statistics)

    def stale(self, now: int) -> bool:
        """Tell whether some symbol's statistics are kept fresh by no ticker."""
        return any((known := self._statistics.get(key)) is None or known.time < now - STALE for key in self._prices)

    def quotes(self, keys: Iterable[Key], now: int) -> list[Quote]:
        """Return what is known of these symbols, as of `now` (ns)."""
        return [self._quote(key, now) for key in keys]

    def _price(self, key: Key, time: int, price: str) -> None:
        known = self._prices.get(key)
        if known is None or time >= known[0]:
            self._prices[key] = (time, price)

    def _learn(self, key: Key, statistics: Statistics) -> None:
        known = self._statistics.get(key)
        if known is None or statistics.time >= known.time:
            self._statistics[key] = statistics

    def _quote(self, key: Key, now: int) -> Quote:
        if key not in self._prices:
            return Quote(*key)
        time, text = self._prices[key]
        age = round(max(0, now - time) / SECOND, 3)
        day = self._statistics.get(key)
        if day is None:
            return Quote(*key, time, age, text)
        price = Decimal(text)
        change, percent = _change(price, day.open)
        return Quote(
            *key, time, age, text, change, percent, day.volume,
            high_24h=text if day.high is not None and price > Decimal(day.high) else day.high,
            low_24h=text if day.low is not None and price < Decimal(day.low) else day.low,
        )  # fmt: skip


def _change(price: Decimal, opened: str | None) -> tuple[str | None, str | None]:
    """Return the change since a price, and that in percent of it to four places."""
    if opened is None:
        return None, None
    before = Decimal(opened)
    change = price - before
    return f"{change:f}", f"{change * 100 / before:.4f}" if before else None
