"""Kraken's public REST calls: what to ask, and what the answers become.

https://docs.kraken.com/api-reference/market-data/get-tradable-asset-pairs and the pages beside it
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from bus.clock import SECOND
from bus.errors import MalformedFrame
from bus.events import Candle, Trade
from bus.timeframes import following
from daemon.exchanges.answers import Stamp, belongs, precedes
from daemon.exchanges.base import Instrument, Outcome, Page, Request, Span, Standing, by_status
from daemon.exchanges.decimals import check
from daemon.exchanges.kraken_messages import (
    Answer,
    DaysAnswer,
    OhlcRow,
    Pair,
    PairsAnswer,
    RowsAnswer,
    TradeRow,
    digits,
)

MINUTES: Final = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440, "1w": 10080}
"""Kraken's interval of each timeframe."""
PAGE: Final = 1000
"""The most trades in one answer."""
WEIGHT: Final = 1
"""Every public call counts alike."""
LOCKOUT: Final = 15 * 60.0
"""Seconds that a temporary lockout lasts, https://support.kraken.com/articles/360001491786-api-error-messages"""

CODES: Final = {
    "XBT": "BTC", "XDG": "DOGE", "LUNA": "LUNC", "LUNA2": "LUNA", "REPV2": "REP", "REP": "REPV1", "UST": "USTC",
}  # fmt: skip
"""Kraken's currency codes that ccxt names otherwise."""
_MARGIN: Final = 1_000_000
"""ns that a call for trades begins before its span: REST times are rounded where the stream's are not."""
_V2: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""The codes that WebSocket v2 names otherwise than REST."""
_V1: Final = {v2: v1 for v1, v2 in _V2.items()}

_pairs = msgspec.json.Decoder(PairsAnswer)
_days = msgspec.json.Decoder(DaysAnswer)
_rows = msgspec.json.Decoder(RowsAnswer)
_trades = msgspec.json.Decoder(list[TradeRow])
_candles = msgspec.json.Decoder(list[OhlcRow])
_errors = msgspec.json.Decoder(Answer)


def instruments_request() -> Request:
    """Ask for all pairs."""
    return Request("instruments", "/0/public/AssetPairs", {}, WEIGHT)


def volumes_request() -> Request:
    """Ask for the 24-hour statistics of all pairs."""
    return Request("volumes", "/0/public/Ticker", {}, WEIGHT)


def volumes(body: bytes | str) -> dict[str, Decimal]:
    """Read what was traded in 24 hours, in quote currency, by the names of the list of pairs."""
    answer = _days.decode(body)
    _check_error(answer.error)
    check((), [text for day in answer.result.values() for text in (day.v[1], day.p[1])])
    return {name: Decimal(day.v[1]) * Decimal(day.p[1]) for name, day in answer.result.items()}


def pair_name(native: str) -> str:
    """Return REST's name of a pair: BTC/USD of WebSocket v2 is XBTUSD."""
    return "".join(_V1.get(code, code) for code in native.split("/"))


def trades_request(symbol: str, native: str, span: Span, since: int) -> Request:
    """Ask for a page of trades from a time (ns) on."""
    params = {"pair": pair_name(native), "since": str(since), "count": str(PAGE)}
    return Request("trades", "/0/public/Trades", params, WEIGHT, symbol, span=span)


def history_request(symbol: str, native: str, span: Span) -> Request:
    """Ask for the first page of a span's trades."""
    return trades_request(symbol, native, span, max(0, span.start - _MARGIN))


def candles_request(symbol: str, native: str, timeframe: str, span: Span) -> Request:
    """Ask for the candles of a span: one page, since Kraken keeps the last 720 alone. `since` is not included."""
    minutes = MINUTES[timeframe]
    since = max(0, span.start // SECOND - minutes * 60)
    params = {"pair": pair_name(native), "interval": str(minutes), "since": str(since)}
    return Request("candles", "/0/public/OHLC", params, WEIGHT, symbol, timeframe, span)


def page(request: Request, native: str, body: bytes | str, stamp: Stamp) -> Page:
    """Read the answer to a history call; the next one goes on where it says, until the span ends."""
    span = request.span
    if span is None:
        raise MalformedFrame("the call belongs to no span")
    answer = _rows.decode(body)
    _check_error(answer.error)
    rows = next((raw for name, raw in answer.result.items() if name != "last"), msgspec.Raw(b"[]"))
    if request.kind == "candles":
        bars = [_candle(row, stamp, request.timeframe) for row in _candles.decode(rows)]
        return Page([bar for bar in bars if span.start <= bar.open_ts <= span.end])
    found = [_trade(row, stamp) for row in _trades.decode(rows)]
    wanted = [trade for trade in found if belongs(trade, span)]
    return Page([*wanted], _further(request, native, found, wanted, _last(answer)))


def _further(request: Request, native: str, found: list[Trade], wanted: list[Trade], last: int) -> Request | None:
    """Return the call that goes on where a full page ended: inside the span, or still before it."""
    span = request.span
    if span is None or len(found) < PAGE or (not wanted and not precedes(found[-1], span)):
        return None
    if wanted and wanted[-1] is not found[-1]:
        return None
    if wanted:  # `last` may be the time of several trades
        span, last = msgspec.structs.replace(span, first_id=str(int(wanted[-1].id) + 1)), last - 1
    return None if str(last) == request.params["since"] else trades_request(request.symbol, native, span, last)


def _last(answer: RowsAnswer) -> int:
    """Return from where to go on: the last trade's time (ns), a number in a string."""
    last = digits(answer.result.get("last", msgspec.Raw(b""))).strip('"')
    if not (last.isdecimal() and len(last) <= 19):  # noqa: PLR2004 # digits of 64 bits
        raise MalformedFrame(f"`last` is no time: {last[:40]!r}")
    return int(last)


def _trade(row: TradeRow, stamp: Stamp) -> Trade:
    check((row.price, row.volume))
    seconds, _, fraction = digits(row.time).partition(".")
    if not (f"{seconds}{fraction}".isdecimal() and len(seconds) <= 10 and len(fraction) <= 9):  # noqa: PLR2004 # s and ns
        raise MalformedFrame(f"not a time: {digits(row.time)[:40]!r}")
    ts = int(seconds) * SECOND + int(fraction.ljust(9, "0"))
    return Trade(
        stamp.exchange, stamp.symbol, ts or None, stamp.recv, stamp.source, str(row.trade_id), row.price, row.volume,
        "buy" if row.side == "b" else "sell",
    )  # fmt: skip


def _candle(row: OhlcRow, stamp: Stamp, timeframe: str) -> Candle:
    check((row.open, row.high, row.low, row.close), (row.volume,))
    opened = row.time * SECOND
    return Candle(
        stamp.exchange, stamp.symbol, None, stamp.recv, stamp.source, timeframe, opened, row.open, row.high, row.low,
        row.close, row.volume, row.trades, closed=following(timeframe, opened) <= stamp.recv,
    )  # fmt: skip


def instruments(body: bytes | str, exchange: str) -> dict[str, Instrument]:
    """Read the list of pairs, by the names that it gives them; dark pools and synthetic pairs are not among them."""
    answer = _pairs.decode(body)
    _check_error(answer.error)
    listed = {name: pair for name, pair in answer.result.items() if pair.wsname and ":" not in name}
    return {name: _instrument(pair, exchange) for name, pair in listed.items()}


def _instrument(pair: Pair, exchange: str) -> Instrument:
    """Read a pair. `wsname` has the codes without the X and Z that `base` and `quote` of older ones begin with."""
    base, _, quote = pair.wsname.partition("/")
    native = f"{_V2.get(base, base)}/{_V2.get(quote, quote)}"
    base, quote = CODES.get(base, base), CODES.get(quote, quote)
    return Instrument(
        exchange=exchange,
        symbol=f"{base}/{quote}",
        native=native,
        base=base,
        quote=quote,
        kind="spot",
        active=pair.status == "online",
        tick_size=pair.tick_size or _unit(pair.pair_decimals),
        lot_size=_unit(pair.lot_decimals),
        min_amount=pair.ordermin,
        min_notional=pair.costmin,
    )


def _unit(decimals: int) -> str:
    """Return the smallest number with so many decimals."""
    return format(Decimal(1).scaleb(-decimals), "f")


def unified(native: str) -> str | None:
    """Return the unified symbol of a WebSocket v2 symbol that no list names; None for what is no symbol."""
    base, slash, quote = native.partition("/")
    sound = slash and base.isalnum() and quote.isalnum() and native.isascii() and len(native) <= 40  # noqa: PLR2004
    return f"{CODES.get(base, base)}/{CODES.get(quote, quote)}" if sound else None


_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "Temporary lockout": "banned",
    "Rate limit exceeded": "limited",
    "Too many requests": "limited",
    "Throttled": "limited",
    "EService": "failed",
    "EDatabase": "failed",
    "EGeneral:Internal error": "failed",
}
"""What parts of error texts mean; any other error is our request's."""


def standing(status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:
    """Read what went wrong out of a body with status 200; "EService:Throttled: <UNIX timestamp>" says until when.

    https://docs.kraken.com/exchange/guides/general/errors and
    https://support.kraken.com/articles/206548367-what-are-the-api-rate-limits-
    """
    by = by_status(status, headers, now)
    if by.outcome != "ok":
        return by
    try:
        said = " ".join(error for error in _errors.decode(body).error if error.startswith("E"))
    except msgspec.MsgspecError:
        return Standing("failed")
    if not said:
        return by
    outcome: Outcome = next((_OUTCOMES[part] for part in _OUTCOMES if part in said), "refused")
    until = said.rpartition(" ")[2]
    if outcome == "limited" and "Throttled" in said and until.isdecimal():
        return Standing(outcome, max(0.0, float(until) - now / SECOND))
    return Standing(outcome, LOCKOUT if outcome == "banned" else None)


def _check_error(errors: list[str]) -> None:
    """Raise MalformedFrame for an answer that is an error."""
    if errors:
        raise MalformedFrame(f"Kraken says {', '.join(errors)[:150]}")
