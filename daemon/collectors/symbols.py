"""Which feeds to deliver, and which of them an exchange can deliver at all."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bus.errors import ConfigError
from daemon.exchanges.base import Endpoints, Exchange, FeedKey, Instrument


@dataclass(frozen=True)
class FeedSettings:
    """What of an exchange to deliver, and where it is."""

    symbols: Sequence[str]
    channels: Sequence[str]
    timeframes: Sequence[str]
    endpoints: Endpoints
    further: Sequence[FeedKey] = ()
    """Feeds beside those of all symbols and channels."""
    interval: float = 30.0
    """Seconds between two polls of what the exchange does not stream."""
    at_close: Collection[str] = ()
    """Timeframes of the candles that are asked for after each close instead of streamed."""

    def keys(self) -> list[FeedKey]:
        """Return every feed that these settings mean, each once."""
        return list(dict.fromkeys([*feeds_of(self.symbols, self.channels, self.timeframes), *self.further]))


def feeds_of(symbols: Sequence[str], channels: Sequence[str], timeframes: Sequence[str]) -> list[FeedKey]:
    """Return every feed of these symbols and channels, each once."""
    return list(
        dict.fromkeys(
            FeedKey(symbol, channel, timeframe)
            for symbol in symbols
            for channel in channels
            for timeframe in (timeframes if channel == "candle" else [""])
        )
    )


def why_not(exchange: Exchange, feed: FeedKey) -> str:
    """Return why an exchange cannot deliver a feed, with the nearest that it can; "" when it can."""
    reason = lacking(exchange.name, exchange.instruments, exchange.channels, exchange.timeframes, feed)
    if not reason and feed.channel not in exchange.polled:
        try:
            exchange.streams(feed)
        except ConfigError as error:
            return str(error)
    return reason


def lacking(
    name: str, instruments: Mapping[str, Instrument], channels: Collection[str], timeframes: Collection[str],
    feed: FeedKey,
) -> str:  # fmt: skip
    """Return what of a feed an exchange does not have, with the nearest that it has; "" when it has all of it."""
    instrument = instruments.get(feed.symbol)
    if instrument is None:
        near = difflib.get_close_matches(feed.symbol, instruments, n=3)
        return f"{name} has no symbol {feed.symbol}" + (f"; nearest: {', '.join(near)}" if near else "")
    if not instrument.active:
        return f"{feed.symbol} is not trading on {name}"
    if feed.channel not in channels:
        return f"{name} has no channel {feed.channel}; it has {', '.join(sorted(channels))}"
    if feed.timeframe and feed.timeframe not in timeframes:
        return f"{name} has no {feed.timeframe} candles; it has {', '.join(sorted(timeframes))}"
    return ""
