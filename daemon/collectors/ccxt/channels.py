"""Which of ccxt's methods deliver which channel."""

from collections.abc import Mapping
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
