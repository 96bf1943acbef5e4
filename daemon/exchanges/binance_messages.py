"""What Binance spot sends, as typed structures; each stands beside the payload that its documentation shows.

Streams: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
REST: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
"""

from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar, get_args

from msgspec import Meta, Struct

from bus.clock import MICROSECOND, MILLISECOND
from bus.errors import MalformedFrame
from daemon.exchanges.decimals import Levels, Number

Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time: TypeAlias = Annotated[int, Meta(gt=0, lt=9_200_000_000_000_000)]
Timeframe: TypeAlias = Literal[
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"
]
TIMEFRAMES: Final[frozenset[str]] = frozenset(get_args(Timeframe))

_LATEST_MILLISECOND: Final = 9_200_000_000_000  # beyond it (year 2261) int64 nanoseconds end
_EARLIEST_MICROSECOND: Final = 100_000_000_000_000  # the year 1973


def nanoseconds(time: int) -> int:
    """Return a time in ns: Binance sends ms, or µs where `timeUnit=MICROSECOND` was asked. Raises MalformedFrame."""
    if time < _LATEST_MILLISECOND:
        return time * MILLISECOND
    if time > _EARLIEST_MICROSECOND:
        return time * MICROSECOND
    raise MalformedFrame(f"time {time} is neither in milliseconds nor in microseconds")


Payload = TypeVar("Payload")
P = TypeVar("P", bound=str)
"""How prices look in a message that comes very often: `Number`, or `Dotted` where that is known."""
A = TypeVar("A", bound=str)
"""How amounts look in it."""


class Combined(Struct, Generic[Payload], gc=False):
    """How /stream wraps a payload: `{"stream":"btcusdt@trade","data":{…}}`."""

    data: Payload


class TradeMessage(Struct, Generic[P, A], gc=False):
    """`<symbol>@trade`, section "Trade Streams".

    {"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}
    """

    e: Literal["trade"]
    s: str
    t: Id
    p: P
    q: A
    T: Time
    m: bool


class AggregateTradeMessage(Struct, Generic[P, A], gc=False):
    """`<symbol>@aggTrade`, section "Aggregate Trade Streams": the fills of one taker order at one price.

    {"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,
    "T":1672515782136,"m":true,"M":true}
    """

    e: Literal["aggTrade"]
    s: str
    a: Id
    p: P
    q: A
    f: Id
    l: Id  # noqa: E741 # Binance's name
    T: Time
    m: bool


class BookTickerMessage(Struct, Generic[P, A], gc=False):
    """`<symbol>@bookTicker`, section "Individual Symbol Book Ticker Streams". It has no type and no time.

    {"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}
    """

    u: Id
    s: str
    b: P
    B: A
    a: P
    A: A


class DayTickerMessage(Struct, gc=False):
    """`<symbol>@ticker`, section "Individual Symbol Ticker Streams": a rolling window of 24 hours.

    {"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009","c":"0.0025",
    "Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18",
    "O":0,"C":86400000,"F":0,"L":18150,"n":18151}
    """

    e: Literal["24hrTicker"]
    E: Time
    s: str
    c: Number
    b: Number
    B: Number
    a: Number
    A: Number
    o: Number
    h: Number
    l: Number  # noqa: E741 # Binance's name
    v: Number
    q: Number


class DepthMessage(Struct, gc=False):
    """`<symbol>@depth@100ms`, section "Diff. Depth Stream".

    {"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}
    """

    e: Literal["depthUpdate"]
    E: Time
    s: str
    U: Id
    u: Id
    b: Levels
    a: Levels


class Kline(Struct, gc=False):
    """The candle inside a kline message."""

    t: Time
    T: Time
    i: Timeframe
    o: Number
    c: Number
    h: Number
    l: Number  # noqa: E741 # Binance's name
    v: Number
    n: Id
    x: bool


class KlineMessage(Struct, gc=False):
    """`<symbol>@kline_<interval>`, section "Kline/Candlestick Streams for UTC".

    {"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,
    "L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500",
    "Q":"0.500","B":"123456"}}
    """

    e: Literal["kline"]
    E: Time
    s: str
    k: Kline


class DepthAnswer(Struct, gc=False):
    """GET /api/v3/depth, "Order book".

    {"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}
    Futures tell the time too, as `E`.
    """

    lastUpdateId: Id  # noqa: N815 # Binance's name
    bids: Levels
    asks: Levels
    E: Time | None = None


class TradeAnswer(Struct, gc=False):
    """One element of GET /api/v3/trades and /api/v3/historicalTrades, "Old trade lookup".

    {"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,
    "isBuyerMaker":true,"isBestMatch":true}
    """

    id: Id
    price: Number
    qty: Number
    time: Time
    isBuyerMaker: bool  # noqa: N815 # Binance's name


class AggregateTradeAnswer(Struct, gc=False):
    """One element of GET /api/v3/aggTrades, "Compressed/Aggregate trades list".

    {"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}
    """

    a: Id
    p: Number
    q: Number
    f: Id
    l: Id  # noqa: E741 # Binance's name
    T: Time
    m: bool


class VolumeAnswer(Struct, gc=False):
    """One element of GET /api/v3/ticker/24hr, "24hr ticker price change statistics".

    {"symbol":"BNBBTC","lastPrice":"4.00000200","volume":"8913.30000000","quoteVolume":"15.30000000",…}
    """

    symbol: str
    quoteVolume: Number  # noqa: N815 # Binance's name


class KlineAnswer(Struct, array_like=True, gc=False):
    """One element of GET /api/v3/klines, "Kline/Candlestick data".

    [1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
    "2434.19055334",308,"1756.87402397","28.46694368","0"]
    """

    open_time: Time
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    close_time: Time
    quote_volume: Number
    trades: Id


class Filter(Struct):
    """One trading rule of a symbol; which fields it has depends on its type ("Filters" in the documentation).

    {"filterType":"PRICE_FILTER","minPrice":"0.00000100","maxPrice":"100000.00000000","tickSize":"0.00000100"}
    {"filterType":"LOT_SIZE","minQty":"0.00100000","maxQty":"100000.00000000","stepSize":"0.00100000"}
    {"filterType":"NOTIONAL","minNotional":"10.00000000",…}, in older lists MIN_NOTIONAL
    """

    filterType: str  # noqa: N815 # Binance's name
    tickSize: str | None = None  # noqa: N815 # Binance's name
    stepSize: str | None = None  # noqa: N815 # Binance's name
    minQty: str | None = None  # noqa: N815 # Binance's name
    minNotional: str | None = None  # noqa: N815 # Binance's name


class SymbolAnswer(Struct):
    """One symbol of GET /api/v3/exchangeInfo.

    {"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC","filters":[…],…}
    """

    symbol: str
    status: str
    baseAsset: str  # noqa: N815 # Binance's name
    quoteAsset: str  # noqa: N815 # Binance's name
    filters: list[Filter] = []


class ExchangeInfoAnswer(Struct):
    """GET /api/v3/exchangeInfo, "Exchange information"."""

    symbols: list[SymbolAnswer]
