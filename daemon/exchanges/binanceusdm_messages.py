"""What Binance USD-M futures send otherwise than spot, as typed structures beside the documented payloads.

Streams: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
REST: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from typing import Generic, Literal

from msgspec import Struct

from daemon.exchanges.binance_messages import A, Filter, Id, P, Time
from daemon.exchanges.decimals import Levels, Number


class TradeMessage(Struct, Generic[P, A], gc=False):
    """`<symbol>@trade`. `X` tells trades (MARKET) from fills of the insurance fund and of deleveraging (NA and others).

    {"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006",
    "X":"MARKET","m":false}
    """

    e: Literal["trade"]
    s: str
    t: Id
    p: P
    q: A
    T: Time
    m: bool
    X: str = "MARKET"


class BookTickerMessage(Struct, Generic[P, A], gc=False):
    """`<symbol>@bookTicker`, "Individual Symbol Book Ticker Streams".

    {"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.35190000",
    "B":"31.21000000","a":"25.36520000","A":"40.66000000"}
    """

    u: Id
    E: Time
    s: str
    b: P
    B: A
    a: P
    A: A


class DayTickerMessage(Struct, gc=False):
    """`<symbol>@ticker`, "Individual Symbol Ticker Streams": a rolling window of 24 hours, without bid and ask.

    {"e":"24hrTicker","E":123456789,"s":"BTCUSDT","p":"0.0015","P":"250.00","w":"0.0018","c":"0.0025","Q":"10",
    "o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":86400000,"F":0,"L":18150,"n":18151}
    """

    e: Literal["24hrTicker"]
    E: Time
    s: str
    c: Number
    o: Number
    h: Number
    l: Number  # noqa: E741 # Binance's name
    v: Number
    q: Number


class DepthMessage(Struct, gc=False):
    """`<symbol>@depth@100ms`, "Diff. Book Depth Streams": `pu` is the `u` of the message before.

    {"e":"depthUpdate","E":123456789,"T":123456788,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],
    "a":[["0.0026","100"]]}
    """

    e: Literal["depthUpdate"]
    E: Time
    s: str
    U: Id
    u: Id
    pu: Id
    b: Levels
    a: Levels


class MarkPriceMessage(Struct, gc=False):
    """`<symbol>@markPrice@1s`, "Mark Price Stream". Rate and next funding time of a dated future are "" and 0.

    {"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091",
    "P":"11784.25641265","r":"0.00038167","T":1562306400000}
    """

    e: Literal["markPriceUpdate"]
    E: Time
    s: str
    p: Number
    i: Number
    r: str
    T: int


class ForcedOrder(Struct, gc=False):
    """The order inside a forceOrder message."""

    s: str
    S: Literal["BUY", "SELL"]
    p: Number
    ap: Number
    z: Number
    T: Time


class ForceOrderMessage(Struct, gc=False):
    """`<symbol>@forceOrder`, "Liquidation Order Streams": the latest one within each second.

    {"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910",
    "ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}
    """

    e: Literal["forceOrder"]
    E: Time
    o: ForcedOrder


class OpenInterestAnswer(Struct, gc=False):
    """GET /fapi/v1/openInterest, "Open Interest".

    {"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}
    """

    openInterest: Number  # noqa: N815 # Binance's name
    symbol: str
    time: Time


class FuturesFilter(Filter):
    """One trading rule of a contract: the minimum notional stands in `notional`.

    {"filterType":"MIN_NOTIONAL","notional":"5.0"}
    """

    notional: str | None = None


class ContractAnswer(Struct):
    """One contract of GET /fapi/v1/exchangeInfo. `contractType` is "" until a contract's market opens.

    {"symbol":"BTCUSDT_210924","contractType":"CURRENT_QUARTER","deliveryDate":1632470400000,"status":"TRADING",
    "baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT","filters":[…],…}
    """

    symbol: str
    contractType: str  # noqa: N815 # Binance's name
    deliveryDate: Time  # noqa: N815 # Binance's name
    status: str
    baseAsset: str  # noqa: N815 # Binance's name
    quoteAsset: str  # noqa: N815 # Binance's name
    marginAsset: str  # noqa: N815 # Binance's name
    filters: list[FuturesFilter] = []


class ExchangeInfoAnswer(Struct):
    """GET /fapi/v1/exchangeInfo, "Exchange Information"."""

    symbols: list[ContractAnswer]
