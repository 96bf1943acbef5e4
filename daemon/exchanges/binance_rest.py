"""Binance's public REST calls: what to ask, and what the answers become; the lists of symbols are spot's.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints (weights stand there too)
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from bus.clock import MILLISECOND
from bus.errors import MalformedFrame
from bus.events import Book, Candle, Side, Source, Trade
from daemon.exchanges.base import Instrument, Page, Request, Span
from daemon.exchanges.binance_messages import (
    AggregateTradeAnswer,
    DepthAnswer,
    ExchangeInfoAnswer,
    KlineAnswer,
    SymbolAnswer,
    TradeAnswer,
    VolumeAnswer,
    nanoseconds,
)
from daemon.exchanges.decimals import check, check_levels

RENAMED: Final = {"YOYO": "YOYOW", "BCHSV": "BSV"}
"""Currency codes that ccxt names otherwise than Binance does."""
PAGE: Final = 1000
"""The most trades or candles in one answer."""

_exchange_info = msgspec.json.Decoder(ExchangeInfoAnswer)
_depth = msgspec.json.Decoder(DepthAnswer)
_trades = msgspec.json.Decoder(list[TradeAnswer])
_aggregates = msgspec.json.Decoder(list[AggregateTradeAnswer])
_klines = msgspec.json.Decoder(list[KlineAnswer])
_volumes = msgspec.json.Decoder(list[VolumeAnswer])


class Stamp(msgspec.Struct, frozen=True):
    """What all events of one answer share."""

    exchange: str
    symbol: str
    recv: int
    source: Source


class Api(msgspec.Struct, frozen=True):
    """Where one of Binance's markets has its calls, and what they weigh there."""

    root: str
    instruments_weight: int
    depth_weight: int
    trades_weight: int
    aggregates_weight: int
    candles_weight: int
    volumes_weight: int

    def instruments(self) -> Request:
        """Ask for all symbols and their trading rules."""
        return Request("instruments", f"{self.root}/exchangeInfo", {}, self.instruments_weight)

    def volumes(self) -> Request:
        """Ask for the 24-hour statistics of all symbols."""
        return Request("volumes", f"{self.root}/ticker/24hr", {}, self.volumes_weight)

    def depth(self, symbol: str, native: str) -> Request:
        """Ask for the best 1,000 levels of each side."""
        params = {"symbol": native, "limit": "1000"}
        return Request("snapshot", f"{self.root}/depth", params, self.depth_weight, symbol)

    def trades(self, symbol: str, native: str, span: Span, from_id: str) -> Request:
        """Ask for a page of trades from an id on."""
        params = {"symbol": native, "limit": str(PAGE), "fromId": from_id}
        return Request("trades", f"{self.root}/historicalTrades", params, self.trades_weight, symbol, span=span)

    def aggregates(self, symbol: str, native: str, span: Span, from_id: str | None) -> Request:
        """Ask for a page of aggregate trades from an id, or from the span's start on."""
        params = {"symbol": native, "limit": str(PAGE)}
        params |= {"startTime": str(_ceil_ms(span.start))} if from_id is None else {"fromId": from_id}
        return Request("aggregates", f"{self.root}/aggTrades", params, self.aggregates_weight, symbol, span=span)

    def first_trade(self, symbol: str, native: str, span: Span) -> Request:
        """Ask for the first aggregate trade of a time span: its first trade begins a page of single trades."""
        params = {"symbol": native, "limit": "1", "startTime": str(_ceil_ms(span.start))}
        return Request("first_trade", f"{self.root}/aggTrades", params, self.aggregates_weight, symbol, span=span)

    def candles(self, symbol: str, native: str, timeframe: str, span: Span) -> Request:
        """Ask for a page of candles that open within a span."""
        params = {"symbol": native, "interval": timeframe, "startTime": str(_ceil_ms(span.start))}
        params |= {"endTime": str(span.end // MILLISECOND), "limit": str(PAGE)}
        return Request("candles", f"{self.root}/klines", params, self.candles_weight, symbol, timeframe, span)


SPOT: Final = Api("/api/v3", 20, 50, 25, 4, 2, 80)


def page(api: Api, request: Request, body: bytes | str, stamp: Stamp) -> Page:
    """Read the answer to a history call; the next call goes on behind its last element, until the span ends."""
    span, native = request.span, request.params["symbol"]
    if span is None:
        raise MalformedFrame("the call belongs to no span")
    if request.kind == "first_trade":
        first = first_trade_id(body)
        return Page([], None if first is None else api.trades(request.symbol, native, span, first))
    if request.kind == "candles":
        bars = candles(body, stamp, request.timeframe)
        if len(bars) < PAGE:
            return Page([*bars])
        rest = msgspec.structs.replace(span, start=bars[-1].open_ts + 1)
        return Page([*bars], api.candles(request.symbol, native, request.timeframe, rest))
    single = request.kind == "trades"
    found = trades(body, stamp) if single else aggregates(body, stamp)
    wanted = [trade for trade in found if _within(span, trade)]
    if len(found) < PAGE or wanted[-1:] != found[-1:]:
        return Page([*wanted])
    ask = api.trades if single else api.aggregates
    return Page([*wanted], ask(request.symbol, native, span, str(int(found[-1].id) + 1)))


def _within(span: Span, trade: Trade) -> bool:
    """Whether a trade, asked for from the span's beginning on, is not beyond its end; ids tell it exactly."""
    if span.last_id is not None:
        return int(trade.id) <= int(span.last_id)
    return trade.ts is not None and trade.ts <= span.end


def _ceil_ms(time: int) -> int:
    return -(-time // MILLISECOND)


def instruments(body: bytes | str, exchange: str) -> dict[str, Instrument]:
    """Read the list of symbols, by unified symbol."""
    found: dict[str, Instrument] = {}
    for answer in _exchange_info.decode(body).symbols:
        instrument = _instrument(answer, exchange)
        # A delisted market can have the name of a living one.
        if instrument.active or instrument.symbol not in found:
            found[instrument.symbol] = instrument
    return found


def volumes(body: bytes | str) -> dict[str, Decimal]:
    """Read what was traded in 24 hours, in quote currency, by Binance's name of the symbol."""
    answers = _volumes.decode(body)
    check((), [answer.quoteVolume for answer in answers])
    return {answer.symbol: Decimal(answer.quoteVolume) for answer in answers}


def renamed(currency: str) -> str:
    """Return ccxt's code of a currency."""
    return RENAMED.get(currency, currency)


def _instrument(answer: SymbolAnswer, exchange: str) -> Instrument:
    base, quote = renamed(answer.baseAsset), renamed(answer.quoteAsset)
    rules = {rule.filterType: rule for rule in answer.filters}
    price, lot = rules.get("PRICE_FILTER"), rules.get("LOT_SIZE")
    notional = rules.get("NOTIONAL") or rules.get("MIN_NOTIONAL")
    return Instrument(
        exchange=exchange,
        symbol=f"{base}/{quote}",
        native=answer.symbol,
        base=base,
        quote=quote,
        kind="spot",
        active=answer.status == "TRADING",
        tick_size=price.tickSize if price else None,
        lot_size=lot.stepSize if lot else None,
        min_amount=lot.minQty if lot else None,
        min_notional=notional.minNotional if notional else None,
    )


def snapshot(body: bytes | str, stamp: Stamp) -> Book:
    """Read an order book; it has an id, and on spot no time."""
    answer = _depth.decode(body)
    check_levels(answer.bids, answer.asks)
    ts = None if answer.E is None else nanoseconds(answer.E)
    return Book(
        stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, "snapshot", answer.bids, answer.asks,
        last_id=answer.lastUpdateId,
    )  # fmt: skip


def trades(body: bytes | str, stamp: Stamp) -> list[Trade]:
    """Read a page of single trades."""
    answers = _trades.decode(body)
    return [_trade(stamp, t.id, t.time, t.price, t.qty, maker_bought=t.isBuyerMaker) for t in answers]


def aggregates(body: bytes | str, stamp: Stamp) -> list[Trade]:
    """Read a page of aggregate trades; their ids are the aggregates' own."""
    answers = _aggregates.decode(body)
    return [_trade(stamp, t.a, t.T, t.p, t.q, maker_bought=t.m) for t in answers]


def first_trade_id(body: bytes | str) -> str | None:
    """Read the id of the single trade that begins the first aggregate, None when there is none."""
    answers = _aggregates.decode(body)
    return str(answers[0].f) if answers else None


def _trade(stamp: Stamp, identity: int, time: int, price: str, amount: str, *, maker_bought: bool) -> Trade:
    check((price, amount))
    side: Side = "sell" if maker_bought else "buy"
    return Trade(
        stamp.exchange, stamp.symbol, nanoseconds(time), stamp.recv, stamp.source, str(identity), price, amount, side
    )  # fmt: skip


def candles(body: bytes | str, stamp: Stamp, timeframe: str) -> list[Candle]:
    """Read a page of candles; they carry no event time. Closed is what had ended when the answer was received."""
    return [_candle(answer, stamp, timeframe) for answer in _klines.decode(body)]


def _candle(k: KlineAnswer, stamp: Stamp, timeframe: str) -> Candle:
    if k.open_time > k.close_time:
        raise MalformedFrame(f"candle ends at {k.close_time}, before it opens at {k.open_time}")
    check((k.open, k.high, k.low, k.close), (k.volume,))
    return Candle(
        stamp.exchange, stamp.symbol, None, stamp.recv, stamp.source, timeframe, nanoseconds(k.open_time),
        k.open, k.high, k.low, k.close, k.volume, k.trades, closed=nanoseconds(k.close_time) < stamp.recv,
    )  # fmt: skip


def by_native(instruments: Mapping[str, Instrument]) -> dict[str, str]:
    """Return the unified symbols by Binance's own."""
    return {instrument.native: symbol for symbol, instrument in instruments.items()}
