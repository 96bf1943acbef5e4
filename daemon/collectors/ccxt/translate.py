"""ccxt's unified structures become events. Pure; raises MalformedFrame for what cannot become well-formed events.

https://docs.ccxt.com/#/README?id=public-trades, …?id=ticker-structure, …?id=order-book-structure
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, cast

from bus.clock import MILLISECOND
from bus.errors import MalformedFrame
from bus.events import Candle, Funding, Liquidation, MarkPrice, OpenInterest, Side, Source, Ticker, Trade
from daemon.collectors.ccxt.digits import LocalTime, digits
from daemon.exchanges.base import FeedKey
from daemon.exchanges.decimals import check


class Origin(NamedTuple):
    """What all events of one message share."""

    exchange: str
    recv: int
    source: Source


def moment(value: Any) -> int | None:
    """Return a time in ns for one in ms; None where the exchange sent none and ccxt filled in our own clock's."""
    return None if value is None or isinstance(value, LocalTime) else round(value * MILLISECOND)


def trade(symbol: str, data: Mapping[str, Any], origin: Origin, name: str) -> Trade:
    """Return a trade; `name` is its id where the exchange gives none."""
    price, amount = digits(data["price"]), digits(data["amount"])
    check((price, amount))
    return Trade(
        origin.exchange, symbol, moment(data.get("timestamp")), origin.recv, origin.source,
        str(data.get("id") or name), price, amount, _side(data.get("side")),
    )  # fmt: skip


def ticker(symbol: str, data: Mapping[str, Any], origin: Origin) -> Ticker:
    """Return a ticker. Where the exchange sends only a change, `open` is what ccxt computes from it."""
    bid, ask, last, first, high, low = (_price(data.get(k)) for k in ("bid", "ask", "last", "open", "high", "low"))
    bid_size, ask_size, volume, quote_volume = (
        _optional(data.get(k)) for k in ("bidVolume", "askVolume", "baseVolume", "quoteVolume")
    )
    if not any((bid, ask, last)):
        raise MalformedFrame("a ticker without bid, ask and last price")
    return Ticker(
        origin.exchange, symbol, moment(data.get("timestamp")), origin.recv, origin.source,
        bid, bid_size, ask, ask_size, last, first, high, low, volume, quote_volume,
    )  # fmt: skip


def candle(feed: FeedKey, row: Sequence[Any], origin: Origin, *, closed: bool) -> Candle:
    """Return a candle of a row [ms, open, high, low, close, volume]."""
    values = [digits(value) for value in row[1:5]]
    volume = "0" if row[5] is None else digits(row[5])
    check(values, (volume,))
    opened = int(row[0]) * MILLISECOND
    first, high, low, close = values
    return Candle(
        origin.exchange, feed.symbol, opened, origin.recv, origin.source,
        feed.timeframe, opened, first, high, low, close, volume, None, closed=closed,
    )  # fmt: skip


def funding(symbol: str, data: Mapping[str, Any], origin: Origin) -> Funding:
    """Return a funding rate, which may be below 0: the current one, or the next where the exchange tells only that."""
    rate = data.get("fundingRate")
    rate = f"{_signed(data['nextFundingRate'] if rate is None else rate):f}"
    due = moment(data.get("fundingTimestamp") or data.get("nextFundingTimestamp"))
    return Funding(origin.exchange, symbol, moment(data.get("timestamp")), origin.recv, origin.source, rate, due)


def mark_price(symbol: str, data: Mapping[str, Any], origin: Origin) -> MarkPrice:
    """Return a mark price."""
    mark, index = digits(data["markPrice"]), _price(data.get("indexPrice"))
    check((mark,))
    return MarkPrice(origin.exchange, symbol, moment(data.get("timestamp")), origin.recv, origin.source, mark, index)


def open_interest(symbol: str, data: Mapping[str, Any], origin: Origin) -> OpenInterest:
    """Return an open interest. Raises MalformedFrame also where the exchange gives it in quote units alone."""
    amount, value = digits(data["openInterestAmount"]), _optional(data.get("openInterestValue"))
    check((), (amount,))
    return OpenInterest(
        origin.exchange, symbol, moment(data.get("timestamp")), origin.recv, origin.source, amount, value
    )  # fmt: skip


def liquidation(symbol: str, data: Mapping[str, Any], origin: Origin) -> Liquidation:
    """Return a liquidation; its amount is in contracts where the exchange counts those."""
    amount = data.get("contracts")
    price, amount = digits(data["price"]), digits(data["baseValue"] if amount is None else amount)
    check((price, amount))
    return Liquidation(
        origin.exchange, symbol, moment(data.get("timestamp")), origin.recv, origin.source,
        data.get("id"), _side(data.get("side")), price, amount,
    )  # fmt: skip


def _side(value: Any) -> Side:
    if value not in {"buy", "sell"}:
        raise MalformedFrame(f"no side: {value!r}")
    return cast("Side", value)


def _optional(value: Any) -> str | None:
    if value is None:
        return None
    text = digits(value)
    check((), (text,))
    return text


def _price(value: Any) -> str | None:
    """Return a price, None for the 0 that stands for none."""
    text = _optional(value)
    return text if text is not None and text.strip("0.") else None


def _signed(value: Any) -> Decimal:
    text = digits(value)
    return Decimal(text)
