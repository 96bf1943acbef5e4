"""Binance spot: trades, best bid and ask, 24-hour statistics, order book and candles.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Candle, Side, Source, Ticker, Trade
from daemon.exchanges import binance_rest as rest
from daemon.exchanges.base import (
    Endpoints,
    Exchange,
    FeedKey,
    Instrument,
    Limits,
    Page,
    Request,
    Span,
    Standing,
    Translated,
    by_status,
)
from daemon.exchanges.binance_frames import COMBINED, PLAIN, PREFIX, PREFIX_LENGTH, kind_of, notice_of
from daemon.exchanges.binance_market import Market
from daemon.exchanges.binance_messages import (
    TIMEFRAMES,
    AggregateTradeMessage,
    BookTickerMessage,
    Combined,
    DayTickerMessage,
    DepthMessage,
    KlineMessage,
    TradeMessage,
    nanoseconds,
)
from daemon.exchanges.decimals import check, check_levels, is_zero, sound_quote, sound_trade
from daemon.exchanges.symbols import split

Events: TypeAlias = list[Translated]

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Binance(Exchange):
    """The translator of Binance spot. `trades="aggregate"` subscribes to aggTrade in place of trade."""

    name: ClassVar[str] = "binance"
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "ticker", "book", "candle"})
    timeframes: ClassVar[frozenset[str]] = TIMEFRAMES
    contiguous: ClassVar[bool] = True
    endpoints: ClassVar[Endpoints] = Endpoints("https://api.binance.com", "wss://stream.binance.com:9443")
    # "General WSS information" and "WebSocket Limits"; pongs count among the 5 messages a second.
    limits: ClassVar[Limits] = Limits(
        feeds_per_connection=1024,
        streams_per_message=200,
        message_interval=0.25,
        connects_per_minute=60,
        lifetime=24 * 3600,
        ping_interval=None,
        silence=60,
        weight=6000,
    )

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        super().__init__(source, trades)
        self._instruments: dict[str, Instrument] = {}
        self._symbols: dict[str, str] = {}
        self._markets: dict[str, Market] = {}
        self._routes: dict[bytes, tuple[Callable[[bytes], Combined[Any]], Callable[[Any, int], Events]]] = {}
        self._handlers: dict[str, Callable[[Any, int], Events]] = {
            "trade": self._trade,
            "aggTrade": self._aggregate_trade,
            "bookTicker": self._book_ticker,
            "24hrTicker": self._day_ticker,
            "depthUpdate": self._depth,
            "kline": self._kline,
        }

    # instruments
    def instruments_requests(self) -> Sequence[Request]:
        """Return the call that lists the symbols."""
        return [rest.instruments_request()]

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the list was answered."""
        return self._instruments

    def _native(self, symbol: str) -> str:
        """Return Binance's name of a symbol. Raises ConfigError for one that Binance does not have."""
        if symbol in self._instruments:
            return self._instruments[symbol].native
        if not self._instruments and symbol.count("/") == 1 and ":" not in symbol:
            return symbol.replace("/", "")
        near = get_close_matches(symbol, self._instruments, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "spot symbols look like BTC/USDT"
        raise ConfigError(f"binance has no symbol {symbol!r}; {hint}")

    # subscribing
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the names of the streams that make up a feed. Raises ConfigError for a feed that Binance lacks."""
        native = self._native(feed.symbol).lower()
        match feed.channel:
            case "trade":
                return [f"{native}@aggTrade" if self.trades_wanted == "aggregate" else f"{native}@trade"]
            case "ticker":
                return [f"{native}@bookTicker", f"{native}@ticker"]
            case "book":
                return [f"{native}@depth@100ms"]
            case "candle" if feed.timeframe in TIMEFRAMES:
                return [f"{native}@kline_{feed.timeframe}"]
            case "candle":
                known = ", ".join(sorted(TIMEFRAMES))
                raise ConfigError(f"binance has no timeframe {feed.timeframe!r}; it has {known}")
        raise ConfigError(f"binance has no channel {feed.channel!r}; it has {', '.join(sorted(self.channels))}")

    def url(self, websocket: str, feed: FeedKey) -> str:  # noqa: ARG002 # one URL carries everything
        """Return the URL for combined streams, which are subscribed to by message."""
        return f"{websocket.rstrip('/')}/stream"

    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that subscribes, section "Live Subscribing/Unsubscribing to streams"."""
        return [_method("SUBSCRIBE", streams, message_id)]

    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that ends these subscriptions."""
        return [_method("UNSUBSCRIBE", streams, message_id)]

    # data
    def parse(self, frame: bytes | str, recv: int, connection: int = 0) -> Events:  # noqa: ARG002 # ids are per symbol
        """Turn one frame, combined or raw, into events. Raises MalformedFrame.

        A stream's name, met once, leads straight to its typed decoder; what that does not fit is looked at in full.
        """
        try:
            raw = frame.encode() if isinstance(frame, str) else frame
            route = self._routes.get(raw[: raw.find(b'"', PREFIX_LENGTH)])
            if route is None:
                return self._unrouted(raw, recv)
            try:
                message = route[0](raw)
            except _UNDECODABLE:
                return self._unrouted(raw, recv)
            return route[1](message.data, recv)
        except _UNDECODABLE as error:
            raise MalformedFrame(f"{error or type(error).__name__}"[:200]) from error

    def _unrouted(self, raw: bytes, recv: int) -> Events:
        """Find out what a frame is; a stream that is met for the first time gets its route."""
        value = msgspec.json.decode(raw)
        combined = isinstance(value, dict) and "stream" in value and "data" in value
        stream = str(value["stream"]) if combined else ""
        payload = value["data"] if combined else value
        kind = kind_of(stream, payload)
        handler = self._handlers.get(kind)
        if handler is None:
            self.notices.append(notice_of(kind, payload))
            return []
        if not combined:
            return handler(PLAIN[kind].decode(raw), recv)
        decode = COMBINED[kind].decode
        events = handler(decode(raw).data, recv)
        if raw.startswith(PREFIX):
            self._routes[raw[: raw.find(b'"', PREFIX_LENGTH)]] = (decode, handler)
        return events

    def _begin(self, native: str) -> Market:
        """Begin to remember a symbol. Raises MalformedFrame for one that has no unified name."""
        market = Market(self._unified(native), lambda: self.requests.append(rest.depth_request(market.symbol, native)))
        self._markets[native] = market
        return market

    def _unified(self, native: str) -> str:
        if native in self._symbols:
            return self._symbols[native]
        parts = split(native, rest.RENAMED)
        if parts is None:
            raise MalformedFrame(f"unknown symbol {native[:40]!r}")
        return "/".join(parts)

    def _trade(self, m: TradeMessage, recv: int) -> Events:
        market = self._markets.get(m.s) or self._begin(m.s)
        if not sound_trade(m.p, m.q):
            raise MalformedFrame(f"price {m.p!r} or amount {m.q!r} is not a plain decimal above 0")
        ts = nanoseconds(m.T)
        if market.trades.seen(m.t):
            return self._duplicate("trade")
        side: Side = "sell" if m.m else "buy"
        return [Trade(self.name, market.symbol, ts, recv, self.source, str(m.t), m.p, m.q, side)]

    def _aggregate_trade(self, m: AggregateTradeMessage, recv: int) -> Events:
        market = self._markets.get(m.s) or self._begin(m.s)
        if not sound_trade(m.p, m.q):
            raise MalformedFrame(f"price {m.p!r} or amount {m.q!r} is not a plain decimal above 0")
        ts = nanoseconds(m.T)
        if m.f > m.l:
            raise MalformedFrame(f"aggregate trade {m.a} ends at {m.l}, before it begins at {m.f}")
        if market.aggregates.seen(m.a):
            return self._duplicate("trade")
        side: Side = "sell" if m.m else "buy"
        return [Trade(self.name, market.symbol, ts, recv, self.source, str(m.a), m.p, m.q, side)]

    def _book_ticker(self, m: BookTickerMessage, recv: int) -> Events:
        market = self._markets.get(m.s) or self._begin(m.s)
        if m.u <= market.quote_id:
            return self._duplicate("ticker")
        bid, bid_size, ask, ask_size = (m.b, m.B, m.a, m.A) if sound_quote(m.b, m.B, m.a, m.A) else _sides(m)
        market.quote_id = m.u
        return [Ticker(self.name, market.symbol, None, recv, self.source, bid, bid_size, ask, ask_size)]

    def _day_ticker(self, m: DayTickerMessage, recv: int) -> Events:
        market = self._markets.get(m.s) or self._begin(m.s)
        check((), (m.v, m.q))
        bid, bid_size, ask, ask_size = _sides(m)
        idle = is_zero(m.v)  # without a trade in 24 hours prices are sent as 0
        last, opened, high, low = (None if idle and is_zero(price) else price for price in (m.c, m.o, m.h, m.l))
        check([price for price in (last, opened, high, low) if price is not None])
        ts = nanoseconds(m.E)
        if ts <= market.day_time:
            return self._duplicate("ticker")
        market.day_time = ts
        return [
            Ticker(
                self.name, market.symbol, ts, recv, self.source, bid, bid_size, ask, ask_size,
                last, opened, high, low, m.v, m.q,
            )
        ]  # fmt: skip

    def _depth(self, m: DepthMessage, recv: int) -> Events:
        market = self._markets.get(m.s) or self._begin(m.s)
        if m.u < m.U:
            raise MalformedFrame(f"depth update ends at {m.u}, before it begins at {m.U}")
        check_levels(m.b, m.a)
        ts, book = nanoseconds(m.E), market.book
        before = book.last_id
        events: Events = [
            *book.delta(Book(self.name, market.symbol, ts, recv, self.source, "delta", m.b, m.a, m.U, m.u, before))
        ]
        if not events and before is not None:
            if book.last_id is not None:
                return self._duplicate("book")
            self.resyncs += 1
        return events

    def _kline(self, m: KlineMessage, recv: int) -> Events:
        market, k = self._markets.get(m.s) or self._begin(m.s), m.k
        if k.t > k.T:
            raise MalformedFrame(f"candle ends at {k.T}, before it opens at {k.t}")
        check((k.o, k.h, k.l, k.c), (k.v,))
        ts, open_ts = nanoseconds(m.E), nanoseconds(k.t)
        if market.candles[k.i].seen(open_ts, ts, closed=k.x):
            return self._duplicate("candle")
        return [
            Candle(
                self.name, market.symbol, ts, recv, self.source, k.i, open_ts, k.o, k.h, k.l, k.c, k.v, k.n, closed=k.x
            )
        ]  # fmt: skip

    def _duplicate(self, channel: str) -> Events:
        self.duplicates[channel] += 1
        return []

    # answers
    def answer(self, request: Request, body: bytes | str, recv: int) -> Events:
        """Turn the answer to a request into events. Raises MalformedFrame."""
        try:
            return self._answer(request, body, recv)
        except (MalformedFrame, *_UNDECODABLE) as error:
            self.failed(request)
            raise _unreadable(request, error) from error

    def _answer(self, request: Request, body: bytes | str, recv: int) -> Events:
        live: Source = "rest" if self.source == "ws" else self.source
        if request.kind == "snapshot":
            native = request.params["symbol"]
            market = self._markets.get(native) or self._begin(native)
            return [*market.book.snapshot(rest.snapshot(body, rest.Stamp(self.name, market.symbol, recv, live)))]
        self._instruments = rest.instruments(body, self.name)
        self._symbols = rest.by_native(self._instruments)
        for native, market in self._markets.items():
            market.symbol = self._symbols.get(native, market.symbol)
        return []

    def failed(self, request: Request) -> None:
        """Say that a request will not be answered; a book that still needs its snapshot asks with its next delta."""
        market = self._markets.get(request.params.get("symbol", ""))
        if request.kind == "snapshot" and market is not None:
            market.book.failed()

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:  # noqa: ARG002 # ids are per symbol
        """Say that nobody delivers these feeds any more: books start anew, and what comes next is no duplicate."""
        markets = {market.symbol: market for market in self._markets.values()}
        for feed in feeds:
            market = markets.get(feed.symbol)
            if market is None:
                continue
            match feed.channel:
                case "book":
                    market.book.reset()
                case "trade":
                    market.forget_trades()
                case "ticker":
                    market.forget_tickers()
                case "candle":
                    market.candles.pop(feed.timeframe, None)

    # history
    def history(self, feed: FeedKey, span: Span) -> Request | None:
        """Return the first call for trades or candles of a span; Binance keeps no history of the other channels."""
        native = self._native(feed.symbol)
        if feed.channel == "candle":
            return rest.candles_request(feed.symbol, native, feed.timeframe, span)
        if feed.channel != "trade":
            return None
        if self.trades_wanted == "aggregate":
            return rest.aggregates_request(feed.symbol, native, span, span.first_id)
        if span.first_id is None:
            return rest.first_trade_request(feed.symbol, native, span)
        return rest.trades_request(feed.symbol, native, span, span.first_id)

    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events. A time span of single trades begins with an aggregate."""
        source: Source = "backfill" if self.source == "ws" else self.source
        try:
            return rest.page(request, body, rest.Stamp(self.name, request.symbol, recv, source))
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise _unreadable(request, error) from error

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        native = self._native(trade.symbol)
        market = self._markets.get(native) or self._begin(native)
        ids = market.aggregates if self.trades_wanted == "aggregate" else market.trades
        return not ids.seen(int(trade.id))

    # REST
    def standing(self, status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:  # noqa: ARG002 # Binance says all in status and headers
        """Read status and used weight, section "IP Limits" of the REST documentation."""
        used = headers.get("x-mbx-used-weight-1m", "")
        return msgspec.structs.replace(by_status(status, headers, now), used=int(used) if used.isdecimal() else None)


def _unreadable(request: Request, error: Exception) -> MalformedFrame:
    return MalformedFrame(f"answer of {request.path}: {error or type(error).__name__}"[:200])


def _method(method: str, streams: Sequence[str], message_id: int) -> str:
    return msgspec.json.encode({"method": method, "params": list(streams), "id": message_id}).decode()


def _sides(m: BookTickerMessage | DayTickerMessage) -> tuple[str | None, str | None, str | None, str | None]:
    """Return best bid and ask with sizes; a side that is 0 in both is empty. Raises MalformedFrame."""
    return *_side(m.b, m.B), *_side(m.a, m.A)


def _side(price: str, size: str) -> tuple[str | None, str | None]:
    if is_zero(price) and is_zero(size):
        check((), (price, size))
        return None, None
    check((price,), (size,))
    return price, size
