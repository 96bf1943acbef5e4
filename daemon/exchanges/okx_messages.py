"""What OKX v5 sends, as typed structures; each stands beside the payload that its documentation shows.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data and #public-data. Numbers come as strings: the decoders
read ids and times out of them (`strict=False`), prices and amounts stay as they are.
"""

from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from daemon.exchanges.decimals import MAX_LEVELS, Number, Optional

Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time: TypeAlias = Annotated[int, Meta(gt=0, lt=9_200_000_000_000)]
"""ms"""
Side: TypeAlias = Literal["buy", "sell"]
Item = TypeVar("Item")
Items: TypeAlias = Annotated[list[Item], Meta(max_length=MAX_LEVELS)]

BARS: Final = {
    "1s": "1s", "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "1H", "2h": "2H", "4h": "4H",
    "6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc", "1M": "1Mutc",
}  # fmt: skip
"""OKX's names of the timeframes; without `utc` it opens the long ones at midnight of Hong Kong."""
TIMEFRAMES: Final = {bar: timeframe for timeframe, bar in BARS.items()}


class Push(Struct, Generic[Item], gc=False):
    """How every data message wraps its items: {"arg":{"channel":"…","instId":"…"},"data":[…]}."""

    data: Items[Item]


class TradeItem(Struct, gc=False):
    """`trades-all`: every trade; `trades`: the fills of one taker order at one price, with the last trade's id.

    {"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897",
    "count":"3","source":"0","seqId":1234}; also one element of GET /api/v5/market/history-trades
    """

    tradeId: Id  # noqa: N815 # OKX's name
    px: Number
    sz: Number
    side: Side
    ts: Time


class TickerItem(Struct, gc=False):
    """`tickers`.

    {"instType":"SPOT","instId":"BTC-USDT","last":"9999.99","lastSz":"0.1","askPx":"9999.99","askSz":"11",
    "bidPx":"8888.88","bidSz":"5","open24h":"9000","high24h":"10000","low24h":"8888.88","volCcy24h":"2222",
    "vol24h":"2222","sodUtc0":"2222","sodUtc8":"2222","ts":"1597026383085"}
    """

    last: Optional
    askPx: Optional  # noqa: N815 # OKX's name
    askSz: Optional  # noqa: N815 # OKX's name
    bidPx: Optional  # noqa: N815 # OKX's name
    bidSz: Optional  # noqa: N815 # OKX's name
    open24h: Optional
    high24h: Optional
    low24h: Optional
    volCcy24h: Optional  # noqa: N815 # OKX's name
    vol24h: Optional
    ts: Time


class CandleItem(Struct, array_like=True, gc=False):
    """`candle1m`, and one element of GET /api/v5/market/history-candles; `confirm` 1 says that it is closed.

    ["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","0"]
    """

    ts: Time
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    volume_base: str
    volume_quote: str
    confirm: Literal[0, 1]


class FundingItem(Struct, gc=False):
    """`funding-rate`: the rate of the running period, which is paid at `fundingTime`.

    {"fundingRate":"0.0001875391284828","fundingTime":"1700726400000","instId":"BTC-USD-SWAP","instType":"SWAP",
    "nextFundingRate":"","nextFundingTime":"1700755200000","ts":"1700724675402"}
    """

    fundingRate: Number  # noqa: N815 # OKX's name
    fundingTime: Time  # noqa: N815 # OKX's name
    ts: Time


class InterestItem(Struct, gc=False):
    """`open-interest` in contracts, in coins and in dollars.

    {"instType":"SWAP","instId":"BTC-USDT-SWAP","oi":"2216113.01","oiCcy":"22161.13","oiUsd":"1939251795.54",
    "ts":"1743041250440"}
    """

    oiCcy: Number  # noqa: N815 # OKX's name
    ts: Time
    oiUsd: Optional = ""  # noqa: N815 # OKX's name


class MarkItem(Struct, gc=False):
    """`mark-price`: {"instType":"SWAP","instId":"LTC-USD-SWAP","markPx":"0.1","ts":"1597026383085"}."""

    markPx: Number  # noqa: N815 # OKX's name
    ts: Time


class LiquidationDetail(Struct, gc=False):
    """One liquidation; `side` is that of the order, `bkPx` the bankruptcy price."""

    side: Side
    bkPx: Number  # noqa: N815 # OKX's name
    sz: Number
    ts: Time


class LiquidationItem(Struct, gc=False):
    """`liquidation-orders` of all symbols of one type.

    {"details":[{"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13",
    "ts":"1692266434010"}],"instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}
    """

    instId: str  # noqa: N815 # OKX's name
    details: Items[LiquidationDetail]


class Answer(Struct, Generic[Item]):
    """How every REST answer wraps its list: {"code":"0","msg":"","data":[…]}."""

    code: Literal["0"]
    data: list[Item]


class VolumeItem(Struct):
    """One element of GET /api/v5/market/tickers; what has never traded has empty strings.

    {"instType":"SWAP","instId":"LTC-USD-SWAP","last":"9999.99","volCcy24h":"2222","vol24h":"2222","ts":"1597026383085",…}
    """

    instType: str  # noqa: N815 # OKX's names
    instId: str  # noqa: N815
    last: Optional
    volCcy24h: Optional  # noqa: N815


class InstrumentItem(Struct):
    """One element of GET /api/v5/public/instruments; contracts have an underlying in place of base and quote.

    {"baseCcy":"","ctType":"linear","ctVal":"0.01","ctValCcy":"BTC","expTime":"","instId":"BTC-USDT-SWAP",
    "instType":"SWAP","lotSz":"1","minSz":"1","quoteCcy":"","settleCcy":"USDT","state":"live","tickSz":"0.1",
    "uly":"BTC-USDT"}
    """

    instType: str  # noqa: N815 # OKX's name
    instId: str  # noqa: N815 # OKX's name
    state: str
    tickSz: str  # noqa: N815 # OKX's name
    lotSz: str  # noqa: N815 # OKX's name
    minSz: str  # noqa: N815 # OKX's name
    baseCcy: str = ""  # noqa: N815 # OKX's name
    quoteCcy: str = ""  # noqa: N815 # OKX's name
    settleCcy: str = ""  # noqa: N815 # OKX's name
    uly: str = ""
    ctType: str = ""  # noqa: N815 # OKX's name
    ctVal: str = ""  # noqa: N815 # OKX's name


class FundingAnswer(Struct, gc=False):
    """One element of GET /api/v5/public/funding-rate-history, newest first; `realizedRate` is what was paid.

    {"fundingRate":"0.0000746604960499","fundingTime":"1703059200000","instId":"BTC-USD-SWAP","instType":"SWAP",
    "method":"next_period","realizedRate":"0.0000746572360545"}
    """

    realizedRate: Number  # noqa: N815 # OKX's name
    fundingTime: Time  # noqa: N815 # OKX's name
