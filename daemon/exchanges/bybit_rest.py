"""Bybit v5's public REST calls: what to ask, and what the answers become.

https://bybit-exchange.github.io/docs/v5/market/instrument and the pages beside it. Lists come newest first; a call that
spans more than one answer holds is asked in pieces, so that pages come in order.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from bus import timeframes
from bus.clock import MILLISECOND, SECOND
from bus.errors import MalformedFrame
from bus.events import Candle, Funding, Side, Trade
from daemon.exchanges.answers import Stamp, ceil_ms, nanoseconds
from daemon.exchanges.base import Instrument, Page, Request, Span, Standing, by_status
from daemon.exchanges.bybit_market import Category
from daemon.exchanges.bybit_messages import (
    TIMEFRAMES,
    Answer,
    CandleAnswer,
    FundingAnswer,
    InstrumentItem,
    Listed,
    TradeAnswer,
    VolumeItem,
)
from daemon.exchanges.decimals import check, check_signed

INSTRUMENTS_PAGE: Final = 1000
CANDLES_PAGE: Final = 1000
FUNDING_PAGE: Final = 200
TRADES_PAGE: Final[dict[str, int]] = {"spot": 60, "linear": 1000, "inverse": 1000}
"""The most elements in one answer."""
_SHORTEST_FUNDING: Final = 3_600 * SECOND
_BAN: Final = 600.0

_instruments = msgspec.json.Decoder(Answer[InstrumentItem])
_trades = msgspec.json.Decoder(Answer[TradeAnswer])
_candles = msgspec.json.Decoder(Answer[CandleAnswer])
_fundings = msgspec.json.Decoder(Answer[FundingAnswer])
_volumes = msgspec.json.Decoder(Answer[VolumeItem])


def instruments_request(category: Category, cursor: str = "") -> Request:
    """Ask for the symbols that trade in a category; without a status Bybit lists those alone."""
    params = {"category": category, "limit": str(INSTRUMENTS_PAGE)} | ({"cursor": cursor} if cursor else {})
    return Request("instruments", "/v5/market/instruments-info", params, 1)


def volumes_request(category: Category) -> Request:
    """Ask for the 24-hour statistics of a category."""
    return Request("volumes", "/v5/market/tickers", {"category": category}, 1)


def volumes(body: bytes | str, category: Category) -> dict[str, Decimal]:
    """Read what was traded in 24 hours, in quote currency, by Bybit's name of the symbol."""
    items = _volumes.decode(body).result.list
    texts = {item.symbol: item.volume24h if category == "inverse" else item.turnover24h for item in items}
    check((), list(texts.values()))
    return {symbol: Decimal(text) for symbol, text in texts.items()}


def trades_request(instrument: Instrument, category: Category, span: Span) -> Request:
    """Ask for the newest trades; Bybit gives out no older ones."""
    params = {"category": category, "symbol": instrument.native, "limit": str(TRADES_PAGE[category])}
    return Request("trades", "/v5/market/recent-trade", params, 1, instrument.symbol, span=span)


def candles_request(instrument: Instrument, category: Category, timeframe: str, span: Span) -> Request:
    """Ask for the first candles that open within a span."""
    params = {"category": category, "symbol": instrument.native, "interval": TIMEFRAMES[timeframe]}
    params |= {"start": str(ceil_ms(span.start)), "end": str(_end(span, timeframe) // MILLISECOND)}
    params["limit"] = str(CANDLES_PAGE)
    return Request("candles", "/v5/market/kline", params, 1, instrument.symbol, timeframe, span)


def funding_request(instrument: Instrument, category: Category, span: Span) -> Request:
    """Ask for the first funding rates of a span."""
    params = {"category": category, "symbol": instrument.native, "startTime": str(ceil_ms(span.start))}
    params |= {"endTime": str(_end(span, "") // MILLISECOND), "limit": str(FUNDING_PAGE)}
    return Request("funding", "/v5/market/funding/history", params, 1, instrument.symbol, span=span)


def _end(span: Span, timeframe: str) -> int:
    """Return where the piece ends that one answer can hold; `timeframe` "" means funding."""
    piece = timeframes.following(timeframe, 0) * CANDLES_PAGE if timeframe else _SHORTEST_FUNDING * FUNDING_PAGE
    return min(span.end, span.start + piece - MILLISECOND)


def page(request: Request, instrument: Instrument, category: Category, body: bytes | str, stamp: Stamp) -> Page:
    """Read the answer to a history call; the next call goes on with the next piece of the span."""
    span = request.span
    if span is None:
        raise MalformedFrame("the call belongs to no span")
    if request.kind == "trades":
        found = [trade(item, stamp) for item in reversed(_trades.decode(body).result.list)]
        return Page([event for event in found if span.start <= (event.ts or 0) <= span.end])
    end = _end(span, request.timeframe)
    rest = msgspec.structs.replace(span, start=end + 1) if end < span.end else None
    if request.kind == "candles":
        bars = [candle(item, stamp, request.timeframe) for item in reversed(_candles.decode(body).result.list)]
        follow = candles_request(instrument, category, request.timeframe, rest) if rest else None
        return Page([bar for bar in bars if span.start <= bar.open_ts <= end], follow)
    rates = [funding(item, stamp) for item in reversed(_fundings.decode(body).result.list)]
    follow = funding_request(instrument, category, rest) if rest else None
    return Page([rate for rate in rates if span.start <= (rate.ts or 0) <= end], follow)


def trade(item: TradeAnswer, stamp: Stamp) -> Trade:
    """Read one trade."""
    check((item.price, item.size))
    side: Side = "buy" if item.side == "Buy" else "sell"
    ts = nanoseconds(item.time)
    return Trade(
        stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, item.execId, item.price, item.size, side
    )  # fmt: skip


def candle(item: CandleAnswer, stamp: Stamp, timeframe: str) -> Candle:
    """Read one candle; it carries no event time. Closed is what had ended when the answer was received."""
    check((item.open, item.high, item.low, item.close), (item.volume,))
    opened = nanoseconds(item.start)
    return Candle(
        stamp.exchange, stamp.symbol, None, stamp.recv, stamp.source, timeframe, opened, item.open, item.high,
        item.low, item.close, item.volume, None, closed=timeframes.following(timeframe, opened) <= stamp.recv,
    )  # fmt: skip


def funding(item: FundingAnswer, stamp: Stamp) -> Funding:
    """Read one funding rate; its time is when it was paid."""
    check_signed(item.fundingRate)
    ts = nanoseconds(item.fundingRateTimestamp)
    return Funding(stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, item.fundingRate)


def instruments(body: bytes | str, exchange: str, category: Category) -> tuple[list[Instrument], str]:
    """Read a list of symbols, and where its next page begins ("" at the end)."""
    result: Listed[InstrumentItem] = _instruments.decode(body).result
    return [_instrument(item, exchange, category) for item in result.list], result.nextPageCursor or ""


def _instrument(item: InstrumentItem, exchange: str, category: Category) -> Instrument:
    """Name a symbol as ccxt does. One contract is one coin (linear) or one dollar (inverse): amounts need no factor."""
    dated = item.contractType.endswith("Futures")
    symbol = f"{item.baseCoin}/{item.quoteCoin}"
    if category != "spot":
        symbol += f":{item.settleCoin}" + (f"-{_day(item.deliveryTime)}" if dated else "")
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        native=item.symbol,
        base=item.baseCoin,
        quote=item.quoteCoin,
        kind="future" if dated else category,
        active=item.status == "Trading",
        tick_size=item.priceFilter.tickSize,
        lot_size=item.lotSizeFilter.qtyStep or item.lotSizeFilter.basePrecision,
        min_amount=item.lotSizeFilter.minOrderQty,
        min_notional=item.lotSizeFilter.minNotionalValue or item.lotSizeFilter.minOrderAmt,
        contract_size=None if category == "spot" else "1",
    )


def _day(time: str) -> str:
    return datetime.fromtimestamp(nanoseconds(time) // SECOND, UTC).strftime("%y%m%d")


class _Code(msgspec.Struct):
    retCode: int  # noqa: N815 # Bybit's name


_code = msgspec.json.Decoder(_Code)
_TOO_MANY: Final = 10006
_FORBIDDEN: Final = 403
_OUTCOMES: Final = {
    0: Standing("ok"),
    10000: Standing("failed"),
    10016: Standing("failed"),
    10018: Standing("banned", _BAN),
}


def standing(status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:
    """Judge an answer: Bybit says most in `retCode` under status 200.

    https://bybit-exchange.github.io/docs/v5/rate-limit: 403 is a ban of ten minutes for 600 requests within 5 seconds,
    10006 a pause until X-Bapi-Limit-Reset-Timestamp. https://bybit-exchange.github.io/docs/v5/error: 10018 too many
    requests from this address, 10000 and 10016 trouble in the server. 403 also answers countries that may not trade.
    """
    if status == _FORBIDDEN:
        return Standing("refused") if b"country" in body else Standing("banned", _BAN)
    judged = by_status(status, headers, now)
    if judged.outcome != "ok":
        return judged
    try:
        code = _code.decode(body).retCode
    except (msgspec.MsgspecError, ValueError):
        return Standing("failed")
    if code == _TOO_MANY:
        return Standing("limited", _until(headers.get("X-Bapi-Limit-Reset-Timestamp", ""), now))
    return _OUTCOMES.get(code, Standing("refused"))


def _until(time: str, now: int) -> float | None:
    """Return the seconds until a time in ms, None without a usable one."""
    return max(0.0, int(time) / 1000 - now / SECOND) if time.isascii() and time.isdecimal() else None
