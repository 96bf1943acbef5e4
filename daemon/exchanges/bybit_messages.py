"""What Bybit v5 sends, as typed structures; each stands beside the payload that its documentation shows.

Streams: https://bybit-exchange.github.io/docs/v5/websocket/public/trade and the pages beside it
REST: https://bybit-exchange.github.io/docs/v5/market/instrument and the pages beside it
"""

from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from daemon.exchanges.decimals import MAX_LEVELS, Number, Optional

Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time: TypeAlias = Annotated[int, Meta(gt=0, lt=9_200_000_000_000)]
"""ms"""
TradeId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Taker: TypeAlias = Literal["Buy", "Sell"]
Item = TypeVar("Item")
Items: TypeAlias = Annotated[list[Item], Meta(max_length=MAX_LEVELS)]

TIMEFRAMES: Final = {
    "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120", "4h": "240", "6h": "360",
    "12h": "720", "1d": "D", "1w": "W", "1M": "M",
}  # fmt: skip
"""Bybit's names of the candle intervals."""
INTERVALS: Final = {interval: timeframe for timeframe, interval in TIMEFRAMES.items()}


class TradeItem(Struct, gc=False):
    """One trade of a publicTrade message; `S` is the taker's side. `i` is a UUID, on spot a number."""

    T: Time
    S: Taker
    v: Number
    p: Number
    i: TradeId


class TradesMessage(Struct, gc=False):
    """`publicTrade.{symbol}`.

    {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT",
    "S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}
    """

    data: Items[TradeItem]


class TickerFields(Struct, gc=False):
    """What a tickers message carries; a delta has only what has changed, and spot has neither quotes nor the rest."""

    bid1Price: Optional | None = None  # noqa: N815 # Bybit's name
    bid1Size: Optional | None = None  # noqa: N815 # Bybit's name
    ask1Price: Optional | None = None  # noqa: N815 # Bybit's name
    ask1Size: Optional | None = None  # noqa: N815 # Bybit's name
    lastPrice: Optional | None = None  # noqa: N815 # Bybit's name
    prevPrice24h: Optional | None = None  # noqa: N815 # Bybit's name
    highPrice24h: Optional | None = None  # noqa: N815 # Bybit's name
    lowPrice24h: Optional | None = None  # noqa: N815 # Bybit's name
    volume24h: Optional | None = None
    turnover24h: Optional | None = None
    markPrice: Optional | None = None  # noqa: N815 # Bybit's name
    indexPrice: Optional | None = None  # noqa: N815 # Bybit's name
    openInterest: Optional | None = None  # noqa: N815 # Bybit's name
    openInterestValue: Optional | None = None  # noqa: N815 # Bybit's name
    fundingRate: Optional | None = None  # noqa: N815 # Bybit's name
    nextFundingTime: Optional | None = None  # noqa: N815 # Bybit's name


class TickerMessage(Struct, gc=False):
    """`tickers.{symbol}`.

    {"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick",
    "price24hPcnt":"0.017103","lastPrice":"17216.00","markPrice":"17217.33","bid1Price":"17215.50",
    "bid1Size":"84.489"},"cs":24987956059,"ts":1673272861686}
    """

    type: Literal["snapshot", "delta"]
    ts: Time
    data: TickerFields


class CandleItem(Struct, gc=False):
    """One candle of a kline message; `confirm` says that it is closed."""

    start: Time
    end: Time
    open: Number
    close: Number
    high: Number
    low: Number
    volume: Number
    confirm: bool
    timestamp: Time


class CandleMessage(Struct, gc=False):
    """`kline.{interval}.{symbol}`.

    {"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5",
    "close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,
    "timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}
    """

    data: Items[CandleItem]


class LiquidationItem(Struct, gc=False):
    """One liquidation; `S` is the side of the position, `p` its bankruptcy price."""

    T: Time
    S: Taker
    v: Number
    p: Number


class LiquidationMessage(Struct, gc=False):
    """`allLiquidation.{symbol}`.

    {"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,
    "s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}
    """

    data: Items[LiquidationItem]


class Listed(Struct, Generic[Item]):
    """The list inside an answer."""

    list: list[Item]
    category: str = ""
    nextPageCursor: str | None = None  # noqa: N815 # Bybit's name


class Answer(Struct, Generic[Item]):
    """How every REST answer wraps its list: {"retCode":0,"retMsg":"OK","result":{…},"time":1672712468011}."""

    retCode: Literal[0]  # noqa: N815 # Bybit's name
    result: Listed[Item]


class VolumeItem(Struct):
    """One element of GET /v5/market/tickers; the turnover of inverse contracts is in their base, the volume in USD.

    {"symbol":"BTCUSD","lastPrice":"16597.00","turnover24h":"2352.94950046","volume24h":"49337318",…}
    """

    symbol: str
    turnover24h: Number
    volume24h: Number


class Filters(Struct):
    """The trading rules of a symbol: its priceFilter and lotSizeFilter, which differ between spot and contracts."""

    tickSize: str | None = None  # noqa: N815 # Bybit's name
    basePrecision: str | None = None  # noqa: N815 # Bybit's name
    qtyStep: str | None = None  # noqa: N815 # Bybit's name
    minOrderQty: str | None = None  # noqa: N815 # Bybit's name
    minOrderAmt: str | None = None  # noqa: N815 # Bybit's name
    minNotionalValue: str | None = None  # noqa: N815 # Bybit's name


class InstrumentItem(Struct):
    """One symbol of GET /v5/market/instruments-info; spot has no contractType, settleCoin and deliveryTime.

    {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT",
    "deliveryTime":"0","priceFilter":{"tickSize":"0.10"},"lotSizeFilter":{"minOrderQty":"0.001","qtyStep":"0.001",
    "minNotionalValue":"5"},"settleCoin":"USDT"}
    """

    symbol: str
    status: str
    baseCoin: str  # noqa: N815 # Bybit's name
    quoteCoin: str  # noqa: N815 # Bybit's name
    priceFilter: Filters  # noqa: N815 # Bybit's name
    lotSizeFilter: Filters  # noqa: N815 # Bybit's name
    settleCoin: str = ""  # noqa: N815 # Bybit's name
    contractType: str = ""  # noqa: N815 # Bybit's name
    deliveryTime: str = "0"  # noqa: N815 # Bybit's name


class TradeAnswer(Struct, gc=False):
    """One element of GET /v5/market/recent-trade, newest first.

    {"execId":"2100000000007764263","symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy",
    "time":"1672052955758","isBlockTrade":false}
    """

    execId: TradeId  # noqa: N815 # Bybit's name
    price: Number
    size: Number
    side: Taker
    time: str


class CandleAnswer(Struct, array_like=True, gc=False):
    """One element of GET /v5/market/kline, newest first: start, open, high, low, close, volume, turnover.

    ["1670608800000","17071","17073","17027","17055.5","268611","15.74462667"]
    """

    start: str
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


class FundingAnswer(Struct, gc=False):
    """One element of GET /v5/market/funding/history, newest first.

    {"symbol":"ETHPERP","fundingRate":"0.0001","fundingRateTimestamp":"1672041600000"}
    """

    fundingRate: Number  # noqa: N815 # Bybit's name
    fundingRateTimestamp: str  # noqa: N815 # Bybit's name
