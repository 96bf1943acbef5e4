"""Which feeds an exchange's settings mean, and which settings mean given feeds."""

from collections.abc import Iterable, Sequence
from typing import Any

from daemon.collectors.symbols import FeedSettings, feeds_of
from daemon.config import Exchange
from daemon.exchanges.base import Endpoints, FeedKey


def settings_of(exchange: Exchange, own: Endpoints, *, idle: bool = False, chosen: Sequence[str] = ()) -> FeedSettings:
    """Return what a collector needs to know; an idle one delivers nothing until it has to stand in for another.

    `own`: the exchange's endpoints, where no others are configured. `chosen`: symbols that a rule has chosen.
    """
    given = exchange.endpoints
    further = [*_further(exchange), *feeds_of(chosen, exchange.channels, exchange.timeframes)]
    endpoints = Endpoints(given.rest or own.rest, given.websocket or own.websocket)
    return FeedSettings(
        () if idle else exchange.symbols,
        exchange.channels,
        exchange.timeframes,
        endpoints,
        () if idle else further,
        exchange.polling.interval,
        exchange.polling.timeframes,
    )


def configured(exchange: Exchange) -> list[FeedKey]:
    """Return the feeds that are configured for an exchange, each once."""
    feeds = feeds_of(exchange.symbols, exchange.channels, exchange.timeframes)
    return list(dict.fromkeys([*feeds, *_further(exchange)]))


def _further(exchange: Exchange) -> list[FeedKey]:
    return [feed for more in exchange.feeds for feed in feeds_of(more.symbols, more.channels, more.timeframes)]


def described(exchange: Exchange, feeds: Iterable[FeedKey]) -> dict[str, Any]:
    """Return the settings `symbols` and `feeds` that mean exactly these feeds.

    Symbols that have all of the exchange's channels and timeframes stand in `symbols`, the others by what they have.
    """
    of_symbol: dict[str, set[FeedKey]] = {}
    for feed in feeds:
        of_symbol.setdefault(feed.symbol, set()).add(feed)
    symbols: list[str] = []
    others: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for symbol, has in of_symbol.items():
        if has == set(feeds_of([symbol], exchange.channels, exchange.timeframes)):
            symbols.append(symbol)
            continue
        channels = tuple(sorted({feed.channel for feed in has}))
        timeframes = tuple(sorted({feed.timeframe for feed in has if feed.timeframe}))
        others.setdefault((channels, timeframes), []).append(symbol)
    return {
        "symbols": symbols,
        "feeds": [
            {"symbols": names, "channels": list(channels)} | ({"timeframes": list(timeframes)} if timeframes else {})
            for (channels, timeframes), names in others.items()
        ],
    }
