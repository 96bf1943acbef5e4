"""What Coinbase Advanced Trade sends, as typed structures; each stands beside the payload that its documentation shows.

WebSocket: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
REST: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products and
the pages beside it
"""

import re
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Raw, Struct

from bus.events import Level
from daemon.exchanges import rfc3339
from daemon.exchanges.decimals import Number, Optional, check_levels, sound_level

Sequence: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Rises by one with each message of a connection, over all its channels, from 0."""
Id: TypeAlias = Annotated[str, Meta(pattern="^[0-9]{1,18}$")]
Kind: TypeAlias = Literal["snapshot", "update"]
Seconds: TypeAlias = Annotated[str, Meta(pattern="^[1-9][0-9]{0,9}$")]
"""UNIX time."""


class LevelUpdate(Struct, gc=False):
    """One price level; a quantity of 0 removes it."""

    side: Literal["bid", "offer"]
    price_level: Number
    new_quantity: Number


def levels(updates: list[LevelUpdate]) -> tuple[list[Level], list[Level]]:
    """Return the bids and asks of one product, checked to be plain decimals. Raises MalformedFrame."""
    if len(updates) == 1 and sound_level((update := updates[0]).price_level, update.new_quantity):
        level = [(update.price_level, update.new_quantity)]
        return (level, []) if update.side == "bid" else ([], level)
    bids = [(update.price_level, update.new_quantity) for update in updates if update.side == "bid"]
    asks = [(update.price_level, update.new_quantity) for update in updates if update.side == "offer"]
    check_levels(bids, asks)
    return bids, asks


class BookEvent(Struct, gc=False):
    """One product's part of a book message."""

    type: Kind
    product_id: str
    updates: list[LevelUpdate]


class BookMessage(Struct, gc=False):
    """Channel `level2`, which names itself `l2_data`.

    {"channel":"l2_data","client_id":"","timestamp":"2023-02-09T20:32:50.714964855Z","sequence_num":0,"events":[
    {"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"1970-01-01T00:00:00Z",
    "price_level":"21921.73","new_quantity":"0.06317902"}]}]}
    """

    timestamp: str
    sequence_num: Sequence
    events: list[BookEvent]


_NUMBER: Final = r"[0-9]{1,20}+(?:\.[0-9]{1,19}+)?+"
ONE_UPDATE: Final = re.compile(
    rf'\{{"channel":"l2_data","client_id":"","timestamp":"{rfc3339.PARTS}",'
    r'"sequence_num":([1-9][0-9]{0,17}+),"events":\[\{"type":"update","product_id":"([^"]++)","updates":\['
    r'\{"side":"(?:bid|(o)ffer)","event_time":"[#-Z]++",'
    rf'"price_level":"((?![0.]++"){_NUMBER})","new_quantity":"({_NUMBER})"\}}\]\}}\]\}}'
)
"""The most frequent book message, one update of one product.

What this matches typed decoding and `levels` let pass, provided that second and product are known ones.
Taking it apart so costs two thirds of that. Groups: second, decimals, `sequence_num`, product, whether it is an offer,
price, quantity.
"""
LONGEST_OF_ONE: Final = 340
"""Bytes beyond which a book message has several updates: it is not worth trying."""


class TradeUpdate(Struct, gc=False):
    """One trade; `side` is the maker's. REST's trades look the same."""

    trade_id: Id
    product_id: str
    price: Number
    size: Number
    side: Literal["BUY", "SELL"]
    time: str


class TradesEvent(Struct, gc=False):
    """Trades of the last 250 ms; a snapshot repeats the most recent ones."""

    type: Kind
    trades: list[TradeUpdate]


class TradesMessage(Struct, gc=False):
    """Channel `market_trades`.

    {"channel":"market_trades","client_id":"","timestamp":"2023-02-09T20:19:35.39625135Z","sequence_num":0,"events":[
    {"type":"snapshot","trades":[{"trade_id":"000000000","product_id":"ETH-USD","price":"1260.01","size":"0.3",
    "side":"BUY","time":"2019-08-14T20:42:27.265Z"}]}]}
    """

    channel: Literal["market_trades"]
    sequence_num: Sequence
    events: list[TradesEvent]


class TickerUpdate(Struct, gc=False):
    """One product's ticker."""

    product_id: str
    price: Optional
    volume_24_h: Optional
    low_24_h: Optional
    high_24_h: Optional
    best_bid: Optional = ""
    best_bid_quantity: Optional = ""
    best_ask: Optional = ""
    best_ask_quantity: Optional = ""


class TickersEvent(Struct, gc=False):
    """Tickers that came together."""

    tickers: list[TickerUpdate]


class TickerMessage(Struct, gc=False):
    """Channel `ticker`.

    {"channel":"ticker","client_id":"","timestamp":"2023-02-09T20:30:37.167359596Z","sequence_num":0,"events":[
    {"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"21932.98",
    "volume_24_h":"16038.28770938","low_24_h":"21835.29","high_24_h":"23011.18","low_52_w":"15460",
    "high_52_w":"48240","price_percent_chg_24_h":"-4.15775596190603","best_bid":"21931.98",
    "best_bid_quantity":"8000.21","best_ask":"21933.98","best_ask_quantity":"8038.07770938"}]}]}
    """

    channel: Literal["ticker"]
    timestamp: str
    sequence_num: Sequence
    events: list[TickersEvent]


class CandleAnswer(Struct, gc=False):
    """One candle of GET /api/v3/brokerage/market/products/{product_id}/candles.

    {"start":"1639508050","low":"140.21","high":"140.21","open":"140.21","close":"140.21","volume":"56437345"}
    """

    start: Seconds
    low: Number
    high: Number
    open: Number
    close: Number
    volume: Number


class CandleUpdate(CandleAnswer, gc=False):
    """One candle of the stream."""

    product_id: str


class CandlesEvent(Struct, gc=False):
    """Candles that came together; a snapshot has those before the running one too."""

    type: Kind
    candles: list[CandleUpdate]


class CandlesMessage(Struct, gc=False):
    """Channel `candles`: five minutes each, once a second.

    {"channel":"candles","client_id":"","timestamp":"2023-06-09T20:19:35.39625135Z","sequence_num":0,"events":[
    {"type":"snapshot","candles":[{"start":"1688998200","high":"1867.72","low":"1865.63","open":"1867.38",
    "close":"1866.81","volume":"0.20269406","product_id":"ETH-USD"}]}]}
    """

    channel: Literal["candles"]
    timestamp: str
    sequence_num: Sequence
    events: list[CandlesEvent]


class NamedEvent(Struct, gc=False):
    """What a part of a book message is, and its product."""

    type: Raw = Raw()
    product_id: str = ""


class Envelope(Struct, gc=False):
    """What can be read of a message whose contents cannot."""

    channel: str
    sequence_num: Sequence
    events: list[NamedEvent] = []


class TradesAnswer(Struct):
    """GET /api/v3/brokerage/market/products/{product_id}/ticker, newest first."""

    trades: list[TradeUpdate]


class CandlesAnswer(Struct):
    """GET /api/v3/brokerage/market/products/{product_id}/candles, newest first."""

    candles: list[CandleAnswer]


class Product(Struct):
    """One product of GET /api/v3/brokerage/market/products.

    `alias` names the product whose order book this one shares.

    {"product_id":"BTC-USD","price":"140.21","volume_24h":"1908432","base_increment":"0.00000001","quote_increment":"0.01","quote_min_size":"1",
    "base_min_size":"0.00000001","is_disabled":false,"trading_disabled":false,"product_type":"SPOT",
    "quote_currency_id":"USD","base_currency_id":"BTC","alias":"","price_increment":"0.01",…}
    """

    product_id: str
    base_currency_id: str
    quote_currency_id: str
    base_increment: str = ""
    quote_increment: str = ""
    price_increment: str = ""
    base_min_size: str = ""
    quote_min_size: str = ""
    price: Optional = ""
    volume_24h: Optional = ""
    alias: str = ""
    is_disabled: bool = False
    trading_disabled: bool = False


class ProductsAnswer(Struct):
    """GET /api/v3/brokerage/market/products."""

    products: list[Product]
