"""What Kraken sends, as typed structures; each stands beside the payload that its documentation shows.

WebSocket v2: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/book (and ticker, trade, ohlc)
REST: https://docs.kraken.com/api-reference/market-data/get-tradable-asset-pairs (and the pages beside it)

Prices and amounts are JSON numbers "with full precision": they are kept as the raw text that came, never parsed.
"""

import re
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from bus.errors import MalformedFrame
from bus.events import Level
from daemon.exchanges import rfc3339
from daemon.exchanges.damage import Signs
from daemon.exchanges.decimals import MAX_LEVELS, Number, check_levels

Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Kind: TypeAlias = Literal["snapshot", "update"]


def digits(number: Raw) -> str:
    """Return a JSON number's own digits (for any other JSON value: its text, which no check of numbers lets pass)."""
    return bytes(number).decode()


class SentLevel(Struct, gc=False):
    """One price level of a book."""

    price: Raw
    qty: Raw


_levels: Final = Decoder(list[SentLevel])
_DIGITS: Final = b"0123456789."
_FORM: Final = b'{"price":,"qty":}'
_ALL_BUT_NUMBERS: Final = bytes(set(_FORM + b"[]") - set(b",:"))
_EMPTY: Final = b"[]"
_TOO_MANY_ZEROS: Final = b"0" * 200
"""No number has as many in a row; `kraken_book` relies on it."""


def levels(side: Raw) -> list[Level]:
    """Return one side of a book message, checked to be plain decimals. Raises MalformedFrame.

    What is left of a side without its digits shows that it has the usual form. Then what is left of it without its
    letters are its numbers, and nothing between comma and colon unless digits stand in a name. That takes half of what
    decoding does.
    """
    raw = bytes(side)
    if raw == _EMPTY:
        return []
    form = raw.translate(None, _DIGITS)
    count = len(form) // (len(_FORM) + 1)
    if count > MAX_LEVELS:
        raise MalformedFrame(f"{count} levels in one side of a book")
    if _TOO_MANY_ZEROS in raw:
        raise MalformedFrame(f"a number with {len(_TOO_MANY_ZEROS)} zeros or more")
    if form == b"[" + b",".join([_FORM] * count) + b"]":
        text = raw.translate(None, _ALL_BUT_NUMBERS).decode()
        numbers = text[1:].split(",:")
        if text[0] == ":" and len(numbers) == 2 * count:
            each = iter(numbers)
            return list(zip(each, each, strict=True))
    found = [(digits(level.price), digits(level.qty)) for level in _levels.decode(raw)]
    check_levels(found, ())
    return found


class BookData(Struct, gc=False):
    """One symbol's part of a book message; `bids` and `asks` are lists of `SentLevel`."""

    symbol: str
    bids: Raw
    asks: Raw
    timestamp: str
    checksum: Id | None = None


class BookMessage(Struct, gc=False):
    """Channel `book`. The recorded snapshots, which are older, have no checksum.

    {"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],
    "asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}
    """

    type: Kind
    data: list[BookData]


_NUMBER: Final = r"(?:0|[1-9][0-9]*+)\.[0-9]++"
_LEVEL: Final = rf'(?:\{{"price":({_NUMBER}),"qty":({_NUMBER})\}})?+'
ONE_LEVEL: Final = re.compile(
    r'\{"channel":"book","type":"update","data":\[\{"symbol":"([^"]++)",'
    rf'"bids":\[{_LEVEL}\],"asks":\[{_LEVEL}\],"checksum":(0|[1-9][0-9]{{0,17}}+),"timestamp":"{rfc3339.PARTS}"\}}\]\}}'
)
"""The most frequent book message, one level of one symbol.

What this matches typed decoding and `levels` let pass, provided that second and symbol are known ones.
Taking it apart so costs two thirds of that. Groups: symbol, price and amount of the bid, of the ask, checksum, second,
decimals.
"""
LONGEST_OF_ONE: Final = 220
"""Bytes beyond which a book message has several levels: it is not worth trying."""


BOOKS: Final = Signs(
    own=re.compile(rb'"(?:bids|asks|checksum)"|"book","type"'),
    others=re.compile(
        rb'"(?:trade|ticker|ohlc|heartbeat|status|method|error|trade_id|ord_type|bid_qty|ask_qty|vwap|interval_begin)"'
    ),
    name=re.compile(rb'"symbol":"([^"]++)"'),
)


class TickerData(Struct, gc=False):
    """One symbol's part of a ticker message."""

    symbol: str
    bid: Raw
    bid_qty: Raw
    ask: Raw
    ask_qty: Raw
    last: Raw
    volume: Raw
    low: Raw
    high: Raw
    timestamp: str | None = None


class TickerMessage(Struct, gc=False):
    """Channel `ticker`.

    {"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,
    "ask_qty":740.0,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,
    "change":-0.00017,"change_pct":-0.17,"timestamp":"2023-09-25T09:04:31.742648Z"}]}
    """

    channel: Literal["ticker"]
    type: Kind
    data: list[TickerData]


class TradeData(Struct, gc=False):
    """One trade; `side` is the taker's."""

    symbol: str
    side: Literal["buy", "sell"]
    price: Raw
    qty: Raw
    trade_id: Id
    timestamp: str


class TradeMessage(Struct, gc=False):
    """Channel `trade`; the snapshot is the most recent 50 trades.

    {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,
    "ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}
    """

    channel: Literal["trade"]
    type: Kind
    data: list[TradeData]


class OhlcData(Struct, gc=False):
    """One candle; its `timestamp` is the end of the interval."""

    symbol: str
    open: Raw
    high: Raw
    low: Raw
    close: Raw
    trades: Id
    volume: Raw
    interval_begin: str
    interval: int


class OhlcMessage(Struct, gc=False):
    """Channel `ohlc`; `timestamp` is when the message was made.

    {"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"MATIC/USD",
    "open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,
    "interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}
    """

    type: Kind
    data: list[OhlcData]
    timestamp: str | None = None


class Pair(Struct):
    """One pair of GET /0/public/AssetPairs; dark pools have no `wsname`, old lists no `status` and no `tick_size`.

    {"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,
    "ordermin":"0.0001","costmin":"0.5","tick_size":"0.1","status":"online",…}
    """

    altname: str
    base: str
    quote: str
    pair_decimals: Annotated[int, Meta(ge=0, le=30)]
    lot_decimals: Annotated[int, Meta(ge=0, le=30)]
    wsname: str = ""
    ordermin: str | None = None
    costmin: str | None = None
    tick_size: str | None = None
    status: str = "online"


class Answer(Struct):
    """What all answers share: `error` names what went wrong, in a body with status 200.

    {"error":["EGeneral:Too many requests"]}
    """

    error: list[str]


class PairsAnswer(Struct):
    """GET /0/public/AssetPairs."""

    error: list[str]
    result: dict[str, Pair] = {}


class DayAnswer(Struct, gc=False):
    """One pair of GET /0/public/Ticker: volume and its average price, each of today and of the last 24 hours.

    {"a":["30300.10000","1","1.000"],…,"v":["4083.67001100","4412.73601799"],"p":["30706.77771","30689.13205"],…}
    """

    v: tuple[Number, Number]
    p: tuple[Number, Number]


class DaysAnswer(Struct):
    """GET /0/public/Ticker."""

    error: list[str]
    result: dict[str, DayAnswer] = {}


class RowsAnswer(Struct):
    """GET /0/public/Trades and /0/public/OHLC: rows under the pair's name, and `last`, from where to go on."""

    error: list[str]
    result: dict[str, Raw] = {}


class TradeRow(Struct, array_like=True, gc=False):
    """One trade: ["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952]."""

    price: Number
    volume: Number
    time: Raw
    side: Literal["b", "s"]
    order: str
    misc: str
    trade_id: Id


class OhlcRow(Struct, array_like=True, gc=False):
    """One candle: [1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39243896",23]."""

    time: Annotated[int, Meta(gt=0, lt=9_000_000_000)]
    open: Number
    high: Number
    low: Number
    close: Number
    vwap: Number
    volume: Number
    trades: Id
