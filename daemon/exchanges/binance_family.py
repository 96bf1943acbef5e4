"""What Binance's markets have in common: how frames are told apart, aggregates, candles, calls and their answers."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from bus.errors import ConfigError, MalformedFrame, said
from bus.events import Candle, Side, Source, Trade
from daemon.exchanges import binance_rest as rest
from daemon.exchanges.base import (
    Exchange,
    FeedKey,
    Instrument,
    Page,
    Request,
    Span,
    Standing,
    Translated,
    by_status,
)
from daemon.exchanges.binance_frames import (
    AMOUNTS,
    DIGITS,
    PREFIX,
    PREFIX_LENGTH,
    Decode,
    Decoders,
    kind_of,
    notice_of,
)
from daemon.exchanges.binance_market import Market
from daemon.exchanges.binance_messages import TIMEFRAMES, AggregateTradeMessage, KlineMessage, nanoseconds
from daemon.exchanges.decimals import check, sound_trade

Events: TypeAlias = list[Translated]
Handle: TypeAlias = Callable[..., Events]
"""Takes a message and its receive time; for frequent ones also whether its decimals are known to be `plain`.

Where they are not it checks them before anything else: a message that passes teaches its form.
"""

LONGEST_OF_FORM: Final = 256
"""Bytes of a frame beyond which its form is not looked at: those that come very often are short, but for books."""
MOST_FORMS: Final = 50_000
"""Forms that are remembered: some ten for each symbol."""

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class BinanceFamily(Exchange):
    """The translator of one of Binance's markets but for what is its own."""

    timeframes: ClassVar[frozenset[str]] = TIMEFRAMES
    contiguous: ClassVar[bool] = True
    api: ClassVar[rest.Api]
    decoders: ClassVar[Decoders]
    linked: ClassVar[bool] = False
    """Whether a book's delta says itself which id it follows on."""
    example: ClassVar[str]
    """How a symbol of this market looks."""

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        super().__init__(source, trades)
        self._instruments: dict[str, Instrument] = {}
        self._symbols: dict[str, str] = {}
        self.markets: dict[str, Market] = {}
        self._forms: dict[bytes, tuple[Decode, Handle]] = {}
        self._routes: dict[bytes, tuple[Decode, Handle, str]] = {}
        self._handlers: dict[str, Handle] = {
            "aggTrade": self._aggregate_trade,
            "kline": self._kline,
            **self.handlers(),
        }

    # what is a market's own
    @abstractmethod
    def handlers(self) -> dict[str, Handle]:
        """Return what turns each of the market's own event types into events."""

    @abstractmethod
    def read_instruments(self, body: bytes | str) -> dict[str, Instrument]:
        """Read the list of symbols, by unified symbol."""

    @abstractmethod
    def spelled(self, symbol: str) -> str | None:
        """Return Binance's name of a symbol by its form alone, None for one that cannot be of this market."""

    @abstractmethod
    def named(self, native: str) -> str | None:
        """Return the unified symbol by the form of Binance's name alone, None for one that has none."""

    # instruments
    def instruments_requests(self) -> Sequence[Request]:
        """Return the call that lists the symbols."""
        return [self.api.instruments()]

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the list was answered."""
        return self._instruments

    def volumes_requests(self) -> Sequence[Request]:
        """Return the call that tells every symbol's volume."""
        return [self.api.volumes()]

    def volumes(self, request: Request, body: bytes | str) -> Mapping[str, Decimal]:
        """Read what was traded in 24 hours, in quote currency, by unified symbol. Raises MalformedFrame."""
        try:
            found = rest.volumes(body)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise _unreadable(request, error) from error
        named = self._instruments.values()
        return {each.symbol: found[each.native] for each in named if each.native in found}

    def native(self, symbol: str) -> str:
        """Return Binance's name of a symbol. Raises ConfigError for one that the market does not have."""
        if symbol in self._instruments:
            return self._instruments[symbol].native
        spelled = self.spelled(symbol)
        if spelled is not None and not self._instruments:
            return spelled
        near = get_close_matches(symbol, self._instruments, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its symbols look like {self.example}"
        raise ConfigError(f"{self.name} has no symbol {symbol!r}; {hint}")

    # subscribing
    def candle_stream(self, native: str, timeframe: str) -> str:
        """Return the name of a candle stream. Raises ConfigError for a timeframe that Binance does not have."""
        if timeframe not in TIMEFRAMES:
            raise ConfigError(f"{self.name} has no timeframe {timeframe!r}; it has {', '.join(sorted(TIMEFRAMES))}")
        return f"{native}@kline_{timeframe}"

    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that subscribes, section "Live Subscribing/Unsubscribing to streams"."""
        self._subscribed |= {stream.partition("@")[0].upper() for stream in streams}
        return [_method("SUBSCRIBE", streams, message_id)]

    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that ends these subscriptions."""
        return [_method("UNSUBSCRIBE", streams, message_id)]

    # data
    def parse(self, frame: bytes, recv: int, connection: int = 0) -> Events:  # noqa: ARG002 # ids are per symbol
        """Turn one frame, combined or raw, into events. Raises MalformedFrame.

        A form or else a stream's name, met once, leads straight to its typed decoder; in a frame of a known form all
        decimals are plain. What does not fit is looked at in full.
        """
        try:
            short = len(frame) <= LONGEST_OF_FORM
            if short and (known := self._forms.get(frame.translate(None, DIGITS))) is not None:
                try:
                    message = known[0](frame)
                except _UNDECODABLE:
                    return self._unrouted(frame, recv)
                return known[1](message.data, recv, plain=True)
            route = self._routes.get(frame[: frame.find(b'"', PREFIX_LENGTH)])
            if route is None:
                return self._unrouted(frame, recv)
            try:
                message = route[0](frame)
            except _UNDECODABLE:
                return self._unrouted(frame, recv)
            events = route[1](message.data, recv)
        except _UNDECODABLE as error:
            raise MalformedFrame(f"{said(error)}"[:200]) from error
        if short and route[2] in AMOUNTS:
            self._learn(frame.translate(None, DIGITS), route[2], message.data, route[1])
        return events

    def _learn(self, form: bytes, kind: str, message: Any, handler: Handle) -> None:
        """Remember the form of a frame that was found sound in full: whatever became of it, its decimals are plain."""
        whole = not any("." in amount for amount in AMOUNTS[kind](message))
        if not whole and b'""' in form:
            return
        if len(self._forms) >= MOST_FORMS:
            self._forms.clear()
        self._forms[form] = (self.decoders.whole if whole else self.decoders.dotted)[kind], handler

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
            return handler(self.decoders.plain[kind](raw), recv)
        decode = self.decoders.combined[kind]
        events = handler(decode(raw).data, recv)
        if raw.startswith(PREFIX):
            beginning = raw[: raw.find(b'"', PREFIX_LENGTH)]
            self._routes[beginning] = decode, handler, kind
        return events

    def met(self, native: str) -> Market:
        """Return the memory of a symbol that a message names. Raises MalformedFrame for one not subscribed to."""
        self._expect(native)
        return self.market(native)

    def market(self, native: str) -> Market:
        """Return what is remembered of a symbol. Raises MalformedFrame for one that has no unified name."""
        market = self.markets.get(native)
        if market is None:
            symbol = self._symbols.get(native) or self.named(native)
            if symbol is None:
                raise MalformedFrame(f"unknown symbol {native[:40]!r}")

            def ask() -> None:
                self.requests.append(self.api.depth(begun.symbol, native))

            market = begun = self.markets[native] = Market(symbol, ask, linked=self.linked)
        return market

    def _aggregate_trade(self, m: AggregateTradeMessage[str, str], recv: int, *, plain: bool = False) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        if not sound_trade(m.p, m.q, plain=plain):
            raise MalformedFrame(f"price {m.p!r} or amount {m.q!r} is not a plain decimal above 0")
        ts = nanoseconds(m.T)
        if m.f > m.l:
            raise MalformedFrame(f"aggregate trade {m.a} ends at {m.l}, before it begins at {m.f}")
        if market.aggregates.seen(m.a):
            return self.duplicate("trade")
        side: Side = "sell" if m.m else "buy"
        return [Trade(self.name, market.symbol, ts, recv, self.source, str(m.a), m.p, m.q, side)]

    def _kline(self, m: KlineMessage, recv: int) -> Events:
        market, k = self.markets.get(m.s) or self.met(m.s), m.k
        if k.t > k.T:
            raise MalformedFrame(f"candle ends at {k.T}, before it opens at {k.t}")
        check((k.o, k.h, k.l, k.c), (k.v,))
        ts, open_ts = nanoseconds(m.E), nanoseconds(k.t)
        if market.candles[k.i].seen(open_ts, ts, closed=k.x):
            return self.duplicate("candle")
        return [
            Candle(
                self.name, market.symbol, ts, recv, self.source, k.i, open_ts, k.o, k.h, k.l, k.c, k.v, k.n, closed=k.x
            )
        ]  # fmt: skip

    def duplicate(self, channel: str) -> Events:
        """Count an event as published before."""
        self.duplicates[channel] += 1
        return []

    # answers
    def answer(self, request: Request, body: bytes | str, recv: int) -> Events:
        """Turn the answer to a request into events. Raises MalformedFrame."""
        try:
            return self.read_answer(request, body, recv)
        except (MalformedFrame, *_UNDECODABLE) as error:
            self.failed(request)
            raise _unreadable(request, error) from error

    def read_answer(self, request: Request, body: bytes | str, recv: int) -> Events:
        """Turn the answer to a request into events, or raise whatever comes of it."""
        live: Source = "rest" if self.source == "ws" else self.source
        if request.kind == "snapshot":
            native = request.params["symbol"]
            market = self.market(native)
            return [*market.book.snapshot(rest.snapshot(body, rest.Stamp(self.name, market.symbol, recv, live)))]
        self._instruments = self.read_instruments(body)
        self._symbols = rest.by_native(self._instruments)
        for native, market in self.markets.items():
            market.symbol = self._symbols.get(native, market.symbol)
        return []

    def failed(self, request: Request) -> None:
        """Say that a request will not be answered; a book that still needs its snapshot asks with its next delta."""
        market = self.markets.get(request.params.get("symbol", ""))
        if request.kind == "snapshot" and market is not None:
            market.book.failed()

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:  # noqa: ARG002 # ids are per symbol
        """Say that nobody delivers these feeds any more: books start anew, and what comes next is no duplicate."""
        markets = {market.symbol: market for market in self.markets.values()}
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
        native = self.native(feed.symbol)
        if feed.channel == "candle":
            return self.api.candles(feed.symbol, native, feed.timeframe, span)
        if feed.channel != "trade":
            return None
        if self.trades_wanted == "aggregate":
            return self.api.aggregates(feed.symbol, native, span, span.first_id)
        if span.first_id is None:
            return self.api.first_trade(feed.symbol, native, span)
        return self.api.trades(feed.symbol, native, span, span.first_id)

    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events. A time span of single trades begins with an aggregate."""
        source: Source = "backfill" if self.source == "ws" else self.source
        try:
            return rest.page(self.api, request, body, rest.Stamp(self.name, request.symbol, recv, source))
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise _unreadable(request, error) from error

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        native = self.native(trade.symbol)
        market = self.market(native)
        ids = market.aggregates if self.trades_wanted == "aggregate" else market.trades
        return not ids.seen(int(trade.id))

    # REST
    def standing(self, status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:  # noqa: ARG002 # Binance says all in status and headers
        """Read status and used weight, section "IP Limits" of the REST documentation."""
        used = headers.get("x-mbx-used-weight-1m", "")
        return msgspec.structs.replace(by_status(status, headers, now), used=int(used) if used.isdecimal() else None)


def _unreadable(request: Request, error: Exception) -> MalformedFrame:
    return MalformedFrame(f"answer of {request.path}: {said(error)}"[:200])


def _method(method: str, streams: Sequence[str], message_id: int) -> str:
    return msgspec.json.encode({"method": method, "params": list(streams), "id": message_id}).decode()
