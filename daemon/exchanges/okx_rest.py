"""OKX v5's public REST calls: what to ask, and what the answers become.

https://www.okx.com/docs-v5/en/#public-data-rest-api and #order-book-trading-market-data. Lists come newest first; a
call that spans more than one answer holds is asked in pieces, so that pages come in order.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from bus import timeframes
from bus.clock import MILLISECOND, SECOND
from bus.errors import MalformedFrame
from bus.events import Candle, Funding, Trade
from daemon.exchanges.answers import Stamp, ceil_ms
from daemon.exchanges.base import Instrument, Page, Request, Span, Standing, by_status
from daemon.exchanges.decimals import check, check_signed
from daemon.exchanges.okx_messages import (
    BARS,
    Answer,
    CandleItem,
    FundingAnswer,
    InstrumentItem,
    TradeItem,
    VolumeItem,
)

TYPES: Final = ("SPOT", "SWAP", "FUTURES")
"""The types of instruments whose lists are asked for."""
RENAMED: Final = {"AE": "AET"}
"""Currency codes that ccxt names otherwise than OKX does."""
PAGE: Final = 100
"""The most elements in one answer of any history."""
_SHORTEST_FUNDING: Final = 3_600 * SECOND
_EXPIRY_DIGITS: Final = 6

_instruments = msgspec.json.Decoder(Answer[InstrumentItem])
_trades = msgspec.json.Decoder(Answer[TradeItem], strict=False)
_candles = msgspec.json.Decoder(Answer[CandleItem], strict=False)
_fundings = msgspec.json.Decoder(Answer[FundingAnswer], strict=False)
_volumes = msgspec.json.Decoder(Answer[VolumeItem])


# instruments
def volumes_request(kind: str) -> Request:
    """Ask for the 24-hour statistics of all instruments of a type: 20 requests in 2 seconds."""
    return Request("volumes", "/api/v5/market/tickers", {"instType": kind}, 1)


def volumes(body: bytes | str) -> dict[str, Decimal]:
    """Read what was traded in 24 hours, in quote currency, by OKX's name; contracts are told in base currency."""
    answers = [answer for answer in _volumes.decode(body).data if answer.last and answer.volCcy24h]
    check((), [text for answer in answers for text in (answer.last, answer.volCcy24h)])
    return {
        answer.instId: Decimal(answer.volCcy24h) * (1 if answer.instType == "SPOT" else Decimal(answer.last))
        for answer in answers
    }


def instruments_request(kind: str) -> Request:
    """Ask for all instruments of a type: 20 requests in 2 seconds."""
    return Request("instruments", "/api/v5/public/instruments", {"instType": kind}, 1)


def instruments(body: bytes | str, exchange: str) -> list[Instrument]:
    """Read a list of instruments."""
    found = [_instrument(item, exchange) for item in _instruments.decode(body).data]
    return [instrument for instrument in found if instrument is not None]


def _instrument(item: InstrumentItem, exchange: str) -> Instrument | None:
    """Name an instrument as ccxt does; None for what has no such name, such as events under the name of futures."""
    spot, dated = item.instType == "SPOT", item.instType == "FUTURES"
    base, _, quote = (item.baseCcy, "", item.quoteCcy) if spot else item.uly.partition("-")
    expiry = item.instId.rpartition("-")[2] if dated else ""
    base, quote, settle = (RENAMED.get(code, code) for code in (base, quote, item.settleCcy))
    if not (base and quote and (spot or settle)) or (dated and not _is_expiry(expiry)):
        return None
    symbol = f"{base}/{quote}" + (f":{settle}" if not spot else "") + (f"-{expiry}" if dated else "")
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        native=item.instId,
        base=base,
        quote=quote,
        kind="spot" if spot else "future" if dated else "inverse" if item.ctType == "inverse" else "linear",
        active=item.state == "live",
        tick_size=item.tickSz or None,
        lot_size=item.lotSz or None,
        min_amount=item.minSz or None,
        contract_size=item.ctVal or None,
    )


def _is_expiry(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) == _EXPIRY_DIGITS


# asking for history
def first_trade_request(instrument: Instrument, span: Span) -> Request:
    """Ask for the last trade before a time span: its id begins the span."""
    return _trade_before(instrument, span, "first_trade", ceil_ms(span.start) - 1)


def last_trade_request(instrument: Instrument, span: Span) -> Request:
    """Ask for the last trade of a time span: its id ends the span."""
    return _trade_before(instrument, span, "last_trade", span.end // MILLISECOND + 2)


def _trade_before(instrument: Instrument, span: Span, kind: str, time: int) -> Request:
    params = {"instId": instrument.native, "type": "2", "after": str(time), "limit": "1"}
    return Request(kind, "/api/v5/market/history-trades", params, 1, instrument.symbol, span=span)


def trades_request(instrument: Instrument, span: Span, first: int, kind: str = "trades") -> Request:
    """Ask for the trades of a span from an id on: those before the id that lies a page further on."""
    after = min(first + PAGE, int(span.last_id or first) + 1)
    params = {"instId": instrument.native, "type": "1", "after": str(after), "limit": str(PAGE)}
    span = msgspec.structs.replace(span, first_id=str(first))
    return Request(kind, "/api/v5/market/history-trades", params, 1, instrument.symbol, span=span)


def candles_request(instrument: Instrument, timeframe: str, span: Span) -> Request:
    """Ask for the first candles that open within a span; both bounds are excluded."""
    end = _end(span, timeframe)
    params = {"instId": instrument.native, "bar": BARS[timeframe], "before": str(ceil_ms(span.start) - 1)}
    params |= {"after": str(end // MILLISECOND + 1), "limit": str(PAGE)}
    return Request("candles", "/api/v5/market/history-candles", params, 1, instrument.symbol, timeframe, span)


def funding_request(instrument: Instrument, span: Span) -> Request:
    """Ask for the first funding rates of a span: 10 requests in 2 seconds."""
    params = {"instId": instrument.native, "before": str(ceil_ms(span.start) - 1)}
    params |= {"after": str(_end(span, "") // MILLISECOND + 1), "limit": str(PAGE)}
    return Request("funding", "/api/v5/public/funding-rate-history", params, 2, instrument.symbol, span=span)


def _end(span: Span, timeframe: str) -> int:
    """Return where the piece ends that one answer can hold; `timeframe` "" means funding."""
    piece = (timeframes.following(timeframe, 0) if timeframe else _SHORTEST_FUNDING) * PAGE
    return min(span.end, span.start + piece - MILLISECOND)


# reading history
def page(request: Request, instrument: Instrument, body: bytes | str, stamp: Stamp) -> Page:
    """Read the answer to a history call; the next call goes on with the next piece of the span."""
    span = request.span
    if span is None:
        raise MalformedFrame("the call belongs to no span")
    match request.kind:
        case "first_trade" | "last_trade":
            return _located(request, instrument, body, span)
        case "trades" | "timed_trades":
            return _trades_page(request, instrument, body, stamp, span)
    end = _end(span, request.timeframe)
    rest = msgspec.structs.replace(span, start=end + 1) if end < span.end else None
    if request.kind == "candles":
        bars = [candle(item, stamp, request.timeframe) for item in reversed(_candles.decode(body).data)]
        follow = candles_request(instrument, request.timeframe, rest) if rest else None
        return Page([bar for bar in bars if span.start <= bar.open_ts <= end], follow)
    rates = [_funding(item, stamp) for item in reversed(_fundings.decode(body).data)]
    follow = funding_request(instrument, rest) if rest else None
    return Page([rate for rate in rates if span.start <= (rate.ts or 0) <= end], follow)


def _located(request: Request, instrument: Instrument, body: bytes | str, span: Span) -> Page:
    """Read where a time span begins or ends among the ids. Without a trade before it, it is beyond the history."""
    found = _trades.decode(body).data
    if not found:
        return Page([])
    if request.kind == "first_trade":
        begun = msgspec.structs.replace(span, first_id=str(found[0].tradeId + 1))
        return Page([], last_trade_request(instrument, begun))
    first, last = int(span.first_id or 0), found[0].tradeId
    if last < first:
        return Page([])
    whole = msgspec.structs.replace(span, last_id=str(last))
    return Page([], trades_request(instrument, whole, first, "timed_trades"))


def _trades_page(request: Request, instrument: Instrument, body: bytes | str, stamp: Stamp, span: Span) -> Page:
    first = int(span.first_id or 0)
    last = int(span.last_id or first)
    items = [item for item in reversed(_trades.decode(body).data) if first <= item.tradeId <= last]
    found = [trade(item, stamp) for item in items]
    if request.kind == "timed_trades":
        found = [event for event in found if span.start <= (event.ts or 0) <= span.end]
    further = first + PAGE
    follow = trades_request(instrument, span, further, request.kind) if further <= last else None
    return Page([*found], follow)


def trade(item: TradeItem, stamp: Stamp) -> Trade:
    """Read one trade."""
    check((item.px, item.sz))
    return Trade(
        stamp.exchange, stamp.symbol, item.ts * MILLISECOND, stamp.recv, stamp.source, str(item.tradeId), item.px,
        item.sz, item.side,
    )  # fmt: skip


def candle(item: CandleItem, stamp: Stamp, timeframe: str) -> Candle:
    """Read one candle, of the stream or of history; it carries no event time."""
    check((item.open, item.high, item.low, item.close), (item.volume,))
    return Candle(
        stamp.exchange, stamp.symbol, None, stamp.recv, stamp.source, timeframe, item.ts * MILLISECOND,
        item.open, item.high, item.low, item.close, item.volume, None, closed=item.confirm == 1,
    )  # fmt: skip


def _funding(item: FundingAnswer, stamp: Stamp) -> Funding:
    check_signed(item.realizedRate)
    ts = item.fundingTime * MILLISECOND
    return Funding(stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, item.realizedRate)


# standing
class _Code(msgspec.Struct):
    code: str


_code = msgspec.json.Decoder(_Code)
_WINDOW: Final = 2.0
_OUTCOMES: Final = {
    "0": Standing("ok"),
    "50001": Standing("failed"),
    "50004": Standing("failed"),
    "50011": Standing("limited", _WINDOW),
    "50013": Standing("failed"),
    "50026": Standing("failed"),
}


def standing(status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:
    """Judge an answer by its code, which comes under many a status; without one by the status.

    https://www.okx.com/docs-v5/en/#error-code-rest-api: 50011 too many requests, which are counted in windows of two
    seconds; 50001 maintenance, 50004 timeout, 50013 and 50026 trouble in the server.
    """
    try:
        code = _code.decode(body).code
    except (msgspec.MsgspecError, ValueError):
        judged = by_status(status, headers, now)
        return Standing("failed") if judged.outcome == "ok" else judged
    judged = _OUTCOMES.get(code, Standing("refused"))
    return by_status(status, headers, now) if judged.outcome == "ok" else judged
