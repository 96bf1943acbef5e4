"""Coinbase Advanced Trade's public REST calls: what to ask, and what the answers become.

https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products and the pages
beside it. Lists come newest first, and of what does not fit into one answer the oldest is left out: spans are asked
for in pieces that are short enough, so that pages come in order.
"""

from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from bus.clock import SECOND
from bus.errors import MalformedFrame
from bus.events import Candle, Side, Trade
from bus.timeframes import following
from daemon.exchanges.answers import Stamp, belongs
from daemon.exchanges.base import Instrument, Page, Request, Span
from daemon.exchanges.coinbase_messages import (
    CandleAnswer,
    CandlesAnswer,
    Product,
    ProductsAnswer,
    TradesAnswer,
    TradeUpdate,
)
from daemon.exchanges.decimals import check
from daemon.exchanges.rfc3339 import nanoseconds

GRANULARITIES: Final = {
    "1m": "ONE_MINUTE", "5m": "FIVE_MINUTE", "15m": "FIFTEEN_MINUTE", "30m": "THIRTY_MINUTE", "1h": "ONE_HOUR",
    "2h": "TWO_HOUR", "6h": "SIX_HOUR", "1d": "ONE_DAY",
}  # fmt: skip
"""Coinbase's name of each timeframe."""
RENAMED: Final = {"CGLD": "CELO"}
"""Currency codes that ccxt names otherwise."""
PAGE: Final = 1000
"""The most trades in one answer."""
CANDLES: Final = 300
"""Candles that are asked for in one call; Coinbase answers up to 350."""
_FIRST_PIECE: Final = 60
"""Seconds of trades that are asked for first; how many there are shows how to go on."""
_LONGEST_PIECE: Final = 86_400
_PATH: Final = "/api/v3/brokerage/market/products"

_products = msgspec.json.Decoder(ProductsAnswer)
_trades = msgspec.json.Decoder(TradesAnswer)
_candles = msgspec.json.Decoder(CandlesAnswer)


# instruments
def instruments_request() -> Request:
    """Ask for all spot products."""
    return Request("instruments", _PATH, {"product_type": "SPOT"}, 1)


def volumes_request() -> Request:
    """Ask for all spot products again: the list tells what was traded."""
    return replace(instruments_request(), kind="volumes")


def volumes(body: bytes | str) -> dict[str, Decimal]:
    """Read what was traded in 24 hours at the last price, in quote currency, by Coinbase's name of the product."""
    listed = [product for product in products(body) if product.price and product.volume_24h]
    check((), [text for product in listed for text in (product.price, product.volume_24h)])
    return {product.product_id: Decimal(product.price) * Decimal(product.volume_24h) for product in listed}


def products(body: bytes | str) -> list[Product]:
    """Read the list of products."""
    return _products.decode(body).products


def instrument(product: Product, exchange: str) -> Instrument:
    """Name a product as ccxt does."""
    base, quote = (RENAMED.get(code, code) for code in (product.base_currency_id, product.quote_currency_id))
    return Instrument(
        exchange=exchange,
        symbol=f"{base}/{quote}",
        native=product.product_id,
        base=base,
        quote=quote,
        kind="spot",
        active=not (product.is_disabled or product.trading_disabled),
        tick_size=product.price_increment or product.quote_increment or None,
        lot_size=product.base_increment or None,
        min_amount=product.base_min_size or None,
        min_notional=product.quote_min_size or None,
    )


def unified(native: str) -> str | None:
    """Return the unified symbol of a product that no list names; None for what is no spot product."""
    base, dash, quote = native.partition("-")
    sound = dash and base.isalnum() and quote.isalnum() and native.isascii() and len(native) <= 40  # noqa: PLR2004
    return f"{RENAMED.get(base, base)}/{RENAMED.get(quote, quote)}" if sound else None


# history
def history_request(product: Instrument, span: Span) -> Request:
    """Ask for the first piece of a span's trades."""
    return _trades_request(product, span, max(0, span.start // SECOND - 1), _FIRST_PIECE)


def _trades_request(product: Instrument, span: Span, start: int, seconds: int) -> Request:
    end = min(start + seconds, span.end // SECOND + 1)
    params = {"limit": str(PAGE), "start": str(start), "end": str(end)}
    return Request("trades", f"{_PATH}/{product.native}/ticker", params, 1, product.symbol, span=span)


def candles_request(product: Instrument, timeframe: str, span: Span) -> Request:
    """Ask for the first piece of a span's candles."""
    params = {"start": str(-(-span.start // SECOND)), "end": str(_end(span, timeframe) // SECOND)}
    return _candles_request("candles", product, timeframe, params, span)


def poll_request(product: Instrument, timeframe: str, now: int) -> Request:
    """Ask for the running candle and the two before it. What opens after `now` (ns) may have come by then."""
    length = following(timeframe, 0) // SECOND
    start = now // SECOND // length * length - 2 * length
    return _candles_request(
        "poll", product, timeframe, {"start": str(start), "end": str(start + (CANDLES - 1) * length)}, None
    )  # fmt: skip


def _candles_request(
    kind: str, product: Instrument, timeframe: str, params: dict[str, str], span: Span | None
) -> Request:
    params = params | {"granularity": GRANULARITIES[timeframe], "limit": str(CANDLES)}
    return Request(kind, f"{_PATH}/{product.native}/candles", params, 1, product.symbol, timeframe, span)


def _end(span: Span, timeframe: str) -> int:
    """Return where the piece ends that one answer holds, itself included."""
    return min(span.end, span.start + following(timeframe, 0) * CANDLES - SECOND)


def page(request: Request, product: Instrument, body: bytes | str, stamp: Stamp) -> Page:
    """Read the answer to a history call; the next one goes on with the next piece, until the span ends."""
    span = request.span
    if span is None:
        raise MalformedFrame("the call belongs to no span")
    if request.kind == "trades":
        return _trades_page(request, product, span, trades(_trades.decode(body).trades, stamp))
    end = _end(span, request.timeframe)
    found = [bar for bar in candles(body, stamp, request.timeframe) if span.start <= bar.open_ts <= end]
    rest = replace(span, start=end + 1)
    return Page([*found], candles_request(product, request.timeframe, rest) if end < span.end else None)


def _trades_page(request: Request, product: Instrument, span: Span, found: list[Trade]) -> Page:
    """Take a piece that came whole. One of which the oldest trades are missing is asked for anew, a shorter one."""
    start, end = int(request.params["start"]), int(request.params["end"])
    wanted = [trade for trade in found if start * SECOND <= (trade.ts or 0) < end * SECOND and belongs(trade, span)]
    late = wanted and span.first_id is not None and int(wanted[0].id) > int(span.first_id)
    if (len(found) >= PAGE or late) and end - start > 1:
        return Page([], _trades_request(product, span, start, (end - start) // 2))
    if end * SECOND > span.end or (wanted and wanted[-1].id == span.last_id):
        return Page([*wanted])
    if wanted:
        span = replace(span, first_id=str(int(wanted[-1].id) + 1))
    longer = min((end - start) * (2 if len(found) < PAGE // 2 else 1), _LONGEST_PIECE)
    return Page([*wanted], _trades_request(product, span, end, longer))


# values
def trades(found: list[TradeUpdate], stamp: Stamp) -> list[Trade]:
    """Read one product's trades, in the order of their ids."""
    return sorted((_trade(update, stamp) for update in found), key=lambda trade: int(trade.id))


def _trade(t: TradeUpdate, stamp: Stamp) -> Trade:
    check((t.price, t.size))
    ts = nanoseconds(t.time)
    return Trade(
        stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, str(int(t.trade_id)), t.price, t.size, taker(t)
    )  # fmt: skip


def taker(t: TradeUpdate) -> Side:
    """Return the taker's side of a trade, whose `side` is the maker's."""
    return "sell" if t.side == "BUY" else "buy"


def candles(body: bytes | str, stamp: Stamp, timeframe: str) -> list[Candle]:
    """Read the answer to a call for candles, in order. One is closed when its time is over."""
    bars = [candle(item, stamp, timeframe, None) for item in _candles.decode(body).candles]
    bars.sort(key=lambda bar: bar.open_ts)
    return [replace(bar, closed=following(timeframe, bar.open_ts) <= stamp.recv) for bar in bars]


def candle(c: CandleAnswer, stamp: Stamp, timeframe: str, ts: int | None) -> Candle:
    """Read one candle, of the stream or of history, as one that runs."""
    check((c.open, c.high, c.low, c.close), (c.volume,))
    return Candle(
        stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, timeframe, int(c.start) * SECOND, c.open, c.high,
        c.low, c.close, c.volume, None, closed=False,
    )  # fmt: skip
