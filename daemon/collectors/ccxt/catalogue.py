"""What ccxt has: its exchanges, and which of its methods deliver which channel of them.

Its folders tell the names without importing it; the import, which takes a second, runs in a thread and only where one
of these exchanges is really used.
"""

import asyncio
import importlib
from collections.abc import Collection, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from bus.timeframes import number
from daemon.exchanges.base import FeedKey

Way: TypeAlias = Literal["stream", "poll"]


class Methods(NamedTuple):
    """The methods of a channel, and their names in the table `has`; "" where there is none."""

    watch: str
    can_watch: str
    fetch: str
    can_fetch: str


CHANNELS: Final[Mapping[str, Methods]] = {
    "trade": Methods("watch_trades", "watchTrades", "fetch_trades", "fetchTrades"),
    "ticker": Methods("watch_ticker", "watchTicker", "fetch_ticker", "fetchTicker"),
    "book": Methods("watch_order_book", "watchOrderBook", "fetch_order_book", "fetchOrderBook"),
    "candle": Methods("watch_ohlcv", "watchOHLCV", "fetch_ohlcv", "fetchOHLCV"),
    "funding": Methods("watch_funding_rate", "watchFundingRate", "fetch_funding_rate", "fetchFundingRate"),
    "mark_price": Methods("watch_mark_price", "watchMarkPrice", "fetch_mark_price", "fetchMarkPrice"),
    "open_interest": Methods("", "", "fetch_open_interest", "fetchOpenInterest"),
    "liquidation": Methods("watch_liquidations", "watchLiquidations", "", ""),
}
"""https://docs.ccxt.com/#/README?id=api-methods--endpoints and https://docs.ccxt.com/#/ccxt.pro.manual"""

OF_DERIVATIVES: Final = frozenset({"funding", "mark_price", "open_interest", "liquidation"})
"""Channels that spot symbols do not have."""


def ways(has: Mapping[str, Any]) -> dict[str, Way]:
    """Return the channels that an exchange has by its table `has`, and how they come."""
    found: dict[str, Way] = {}
    for channel, methods in CHANNELS.items():
        if methods.watch and has.get(methods.can_watch):
            found[channel] = "stream"
        elif methods.fetch and has.get(methods.can_fetch):
            found[channel] = "poll"
    return found


def timeframes(exchange: Any) -> frozenset[str]:
    """Return an exchange's candle lengths."""
    return frozenset(name for name in exchange.timeframes or () if number(name, 0) is not None)


def arguments(feed: FeedKey) -> tuple[str, ...]:
    """Return what every method takes first."""
    return (feed.symbol, feed.timeframe) if feed.timeframe else (feed.symbol,)


class Entry(NamedTuple):
    """What an exchange has through ccxt."""

    name: str
    channels: dict[str, Way]
    timeframes: int
    """How many lengths of candles it has."""

    def channels_by(self, way: Way) -> frozenset[str]:
        """Return the channels that come in one way."""
        return frozenset(channel for channel, by in self.channels.items() if by == way)


@cache
def _folder() -> Path | None:
    spec = find_spec("ccxt")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


@cache
def names() -> frozenset[str]:
    """Return the names of all exchanges that ccxt has. Its files tell: importing it takes a second."""
    return _modules("async_support")


@cache
def streaming() -> frozenset[str]:
    """Return those that ccxt.pro has: the others are polled."""
    return _modules("pro")


def _modules(part: str) -> frozenset[str]:
    folder = _folder()
    if folder is None:
        return frozenset()
    return frozenset(path.stem for path in (folder / part).glob("*.py") if not path.stem.startswith("_"))


def exchange_class(name: str) -> Any:
    """Import ccxt's class of an exchange: ccxt.pro's where it has one. Takes a second the first time."""
    part = "pro" if name in streaming() else "async_support"
    return getattr(importlib.import_module(f"ccxt.{part}.{name}"), name)


async def load(name: str) -> tuple[Any, Any]:
    """Return ccxt's class of an exchange and the module `hooks`, imported in a thread."""

    def work() -> tuple[Any, Any]:
        return exchange_class(name), importlib.import_module("daemon.collectors.ccxt.hooks")

    return await asyncio.to_thread(work)


def entries(without: Collection[str]) -> list[Entry]:
    """Return what every exchange has, but for some. Imports all of ccxt."""
    found = []
    for name in sorted(names().difference(without)):
        exchange = exchange_class(name)()
        found.append(Entry(name, ways(exchange.has), len(timeframes(exchange))))
    return found
