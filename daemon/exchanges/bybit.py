"""Bybit v5, spot, linear and inverse: trades, tickers, order books, candles, liquidations and what contracts add.

https://bybit-exchange.github.io/docs/v5/ws/connect
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from math import inf
from typing import Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from bus.clock import MILLISECOND
from bus.errors import ConfigError, MalformedFrame, said
from bus.events import Book, Candle, Funding, Liquidation, MarkPrice, OpenInterest, Side, Source, Ticker, Trade
from daemon.exchanges import bybit_rest as rest
from daemon.exchanges.answers import Stamp, unreadable
from daemon.exchanges.base import (
    Endpoints,
    Exchange,
    FeedKey,
    Instrument,
    Limits,
    Notice,
    Page,
    Request,
    Span,
    Standing,
    Translated,
)
from daemon.exchanges.bybit_books import BookMessage, read
from daemon.exchanges.bybit_market import CATEGORIES, Category, Market
from daemon.exchanges.bybit_messages import (
    INTERVALS,
    TIMEFRAMES,
    CandleMessage,
    LiquidationMessage,
    TickerMessage,
    TradesMessage,
)
from daemon.exchanges.bybit_tickers import quote, tickers
from daemon.exchanges.damage import Signs, named
from daemon.exchanges.decimals import check, sound_trade
from daemon.exchanges.listings import Listings

Events: TypeAlias = list[Translated]
Route: TypeAlias = tuple[Callable[[bytes], Any], Callable[[Any, int, int], Events]]

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_PREFIX: Final = b'{"topic":"'
_PREFIX_LENGTH: Final = len(_PREFIX)
_SIGNS: Final = Signs(
    own=re.compile(rb'"publicTrade|"BT":|"i":'),
    others=re.compile(
        rb'"(?:orderbook|tickers|kline|allLiquidation)\.|"(?:b|a|u|bid1Price|lastPrice|start|success|op)":'
    ),
    name=re.compile(rb'"(?:publicTrade\.|s":")([A-Z0-9-]++)"'),
)
_DEPTH: Final = 200
"""Levels of a book: every 100 ms on contracts, 200 ms on spot."""
_READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "publicTrade": msgspec.json.Decoder(TradesMessage).decode,
    "orderbook": read,
    "tickers": msgspec.json.Decoder(TickerMessage).decode,
    "kline": msgspec.json.Decoder(CandleMessage).decode,
    "allLiquidation": msgspec.json.Decoder(LiquidationMessage).decode,
}
"""By the first part of a topic."""
_OF_CONTRACTS: Final = frozenset({"funding", "open_interest", "mark_price", "liquidation"})


class Bybit(Exchange):
    """The translator of Bybit. Trades have no continuous ids and are single ones: there is no stream of aggregates."""

    name: ClassVar[str] = "bybit"
    newest_only: ClassVar[bool] = True
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "ticker", "book", "candle"}) | _OF_CONTRACTS
    timeframes: ClassVar[frozenset[str]] = frozenset(TIMEFRAMES)
    # One topic carries the four.
    bundled: ClassVar[frozenset[type]] = frozenset({Ticker, Funding, MarkPrice, OpenInterest})
    endpoints: ClassVar[Endpoints] = Endpoints("https://api.bybit.com", "wss://stream.bybit.com")
    # https://bybit-exchange.github.io/docs/v5/ws/connect: ping every 20 s; 21,000 characters of topics on a connection;
    # 10 topics in a request on spot. https://bybit-exchange.github.io/docs/v5/rate-limit: 500 connections in 5 minutes,
    # 600 requests in 5 seconds. A connection's age and the pace of messages have no documented limit.
    limits: ClassVar[Limits] = Limits(
        feeds_per_connection=500,
        streams_per_message=10,
        message_interval=0.1,
        connects_per_minute=100,
        lifetime=inf,
        ping_interval=20,
        silence=60,
        weight=600,
        weight_window=5,
    )

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        super().__init__(source, trades)
        self._listings = Listings(self.name, "BTC/USDT or BTC/USDT:USDT")
        # Spot and contracts share native names; linear and inverse contracts do not.
        self._spot_connections: dict[int, bool] = {}
        self._natives: dict[tuple[bool, str], str] = {}
        self._markets: dict[tuple[bool, str], Market] = {}
        self._routes: dict[bool, dict[bytes, Route]] = {True: {}, False: {}}

    # instruments
    def instruments_requests(self) -> Sequence[Request]:
        """Return the calls that list the symbols, one for each category."""
        return [rest.instruments_request(category) for category in CATEGORIES]

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the first list was answered."""
        return self._listings.instruments

    def volumes_requests(self) -> Sequence[Request]:
        """Return the calls that tell every symbol's volume, one for each category."""
        return [rest.volumes_request(category) for category in CATEGORIES]

    def volumes(self, request: Request, body: bytes | str) -> Mapping[str, Decimal]:
        """Read what was traded in 24 hours, in quote currency, by unified symbol. Raises MalformedFrame."""
        category = _asked(request)
        try:
            found = rest.volumes(body, category)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        named = [each for each in self.instruments.values() if _category(each) == category]
        return {each.symbol: found[each.native] for each in named if each.native in found}

    # subscribing
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the topics that make up a feed. Raises ConfigError for a feed that Bybit lacks."""
        instrument = self._listings.find(feed.symbol)
        native, channel = instrument.native, feed.channel
        if channel in _OF_CONTRACTS and (
            instrument.kind == "spot" or (instrument.kind, channel) == ("future", "funding")
        ):
            raise ConfigError(f"bybit has no {channel} of {feed.symbol}: its kind is {instrument.kind}")
        match channel:
            case "trade":
                return [f"publicTrade.{native}"]
            case "book":
                return [f"orderbook.{_DEPTH}.{native}"]
            case "candle" if feed.timeframe in TIMEFRAMES:
                return [f"kline.{TIMEFRAMES[feed.timeframe]}.{native}"]
            case "candle":
                known = ", ".join(sorted(TIMEFRAMES))
                raise ConfigError(f"bybit has no timeframe {feed.timeframe!r}; it has {known}")
            case "liquidation":
                return [f"allLiquidation.{native}"]
            case "ticker" | "funding" | "open_interest" | "mark_price":
                # spot's tickers lack the best bid and ask
                return [f"tickers.{native}", *([f"orderbook.1.{native}"] if instrument.kind == "spot" else [])]
        raise ConfigError(f"bybit has no channel {channel!r}; it has {', '.join(sorted(self.channels))}")

    def url(self, websocket: str, feed: FeedKey) -> str:
        """Return the URL of the category that a symbol belongs to."""
        return f"{websocket.rstrip('/')}/v5/public/{_category(self._listings.find(feed.symbol))}"

    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the messages that subscribe, section "How to Subscribe to Topics".

        Topics that several feeds share get messages of their own: Bybit refuses the whole message that names one again.
        """
        self._subscribed |= {stream.rpartition(".")[2] for stream in streams}
        shared = [stream for stream in dict.fromkeys(streams) if stream.startswith("tickers.")]
        own = [stream for stream in streams if stream not in shared]
        return [
            _operation("subscribe", topics, message_id) for topics in (own, *([topic] for topic in shared)) if topics
        ]

    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that ends these subscriptions."""
        return [_operation("unsubscribe", list(streams), message_id)]

    def connected(self, connection: int, url: str) -> None:
        """Note whether a connection carries spot or contracts: its frames do not say."""
        category = url.rstrip("/").rpartition("/")[2]
        if category in CATEGORIES:
            self._spot_connections[connection] = category == "spot"

    def ping(self) -> str | None:
        """Return the heartbeat, section "How to Send the Heartbeat Packet"."""
        return '{"op":"ping"}'

    # data
    def parse(self, frame: bytes, recv: int, connection: int = 0) -> Events:
        """Turn one frame into events. Raises MalformedFrame.

        A topic, met once, leads straight to its typed decoder; what that does not fit is looked at in full.
        """
        spot = self._spot_connections.get(connection)
        if spot is None:
            raise MalformedFrame(f"connection {connection} leads to no category of symbols")
        try:
            route = self._routes[spot].get(frame[: frame.find(b'"', _PREFIX_LENGTH)])
            if route is None:
                return self._unrouted(frame, recv, connection, spot=spot)
            return route[1](route[0](frame), recv, connection)
        except _UNDECODABLE as error:
            raise MalformedFrame(f"{said(error)}"[:200]) from error

    def torn(self, frame: bytes, connection: int = 0) -> Sequence[FeedKey] | None:
        """Return the feed that an unreadable message of trades was about, None where it may have been any of them."""
        spot = self._spot_connections.get(connection)
        if spot is None:
            return None
        found = named(frame, _SIGNS, lambda name: (spot, name) in self._natives and self._expects(name))
        return None if found is None else [FeedKey(self._natives[spot, name], "trade") for name in found]

    def _unrouted(self, raw: bytes, recv: int, connection: int, *, spot: bool) -> Events:
        """Find out what a frame is; a topic that is met for the first time gets its route."""
        value = msgspec.json.decode(raw)
        topic = value.get("topic") if isinstance(value, dict) else None
        kind, _, rest_of_topic = topic.partition(".") if isinstance(topic, str) else ("", "", "")
        if kind not in _READERS and b'"BT":' in raw:
            raise MalformedFrame(f"trades of the topic {topic!r}"[:100])
        if not isinstance(topic, str):
            self.notices.append(_notice(value))
            return []
        detail, _, native = rest_of_topic.rpartition(".")
        if kind not in _READERS or (kind == "kline" and detail not in INTERVALS):
            self.notices.append(Notice("unknown", topic[:100]))
            return []
        self._expect(native)
        reader = _READERS[kind]
        handler = self._handler(kind, detail, self._market(native, spot=spot))
        events = handler(reader(raw), recv, connection)
        if raw.startswith(_PREFIX):
            self._routes[spot][raw[: raw.find(b'"', _PREFIX_LENGTH)]] = (reader, handler)
        return events

    def _handler(self, kind: str, detail: str, market: Market) -> Callable[[Any, int, int], Events]:
        """Return what reads a topic."""
        match kind:
            case "publicTrade":
                return partial(self._trades, market)
            case "orderbook":
                return partial(self._quote if detail == "1" else self._book, market)
            case "tickers":
                return partial(self._tickers, market)
            case "kline":
                return partial(self._candles, market, INTERVALS[detail])
        return partial(self._liquidations, market)

    def _market(self, native: str, *, spot: bool) -> Market:
        """Return the memory of a symbol. Raises MalformedFrame for one that is not listed."""
        market = self._markets.get((spot, native))
        if market is None:
            symbol = self._natives.get((spot, native))
            if symbol is None:
                raise MalformedFrame(f"unknown symbol {native[:40]!r} of {'spot' if spot else 'contracts'}")
            market = self._markets[spot, native] = Market(symbol, _category(self._listings.find(symbol)))
        return market

    def _trades(self, market: Market, m: TradesMessage, recv: int, connection: int) -> Events:  # noqa: ARG002 # ids are the symbol's
        for t in m.data:
            if not sound_trade(t.p, t.v):
                raise MalformedFrame(f"price {t.p!r} or amount {t.v!r} is not a plain decimal above 0")
        seen, name, symbol, source = market.trades.seen, self.name, market.symbol, self.source
        events: Events = [
            Trade(name, symbol, t.T * MILLISECOND, recv, source, t.i, t.p, t.v, "buy" if t.S == "Buy" else "sell")
            for t in m.data
            if not seen(t.i)
        ]
        if len(events) != len(m.data):
            self.duplicates["trade"] += len(m.data) - len(events)
        return events

    def _book(self, market: Market, m: BookMessage, recv: int, connection: int) -> Events:
        """Publish a snapshot, which may come at any time, or a delta: each raises the update id by one."""
        data, chain = m.data, market.book
        ts, last, before = (m.cts or m.ts) * MILLISECOND, data.u, chain.last_id
        if m.type == "snapshot":
            chain.begin(connection, last)
            return [
                Book(self.name, market.symbol, ts, recv, self.source, "snapshot", data.b, data.a, last_id=last)
            ]  # fmt: skip
        verdict = chain.take(connection, last - 1, last)
        if verdict == "follows":
            return [
                Book(self.name, market.symbol, ts, recv, self.source, "delta", data.b, data.a, last, last, last - 1)
            ]
        if verdict == "duplicate":
            return self._duplicate("book")
        self._renew([market.symbol], f"it stands at {before}, the next update is {last}")
        return []

    def _quote(self, market: Market, m: BookMessage, recv: int, connection: int) -> Events:  # noqa: ARG002 # the newest counts
        ts = (m.cts or m.ts) * MILLISECOND
        best = quote(market.quote, m)
        if market.quote_time.outdates(ts, recv) or best == market.quote:
            return self._duplicate("ticker")
        market.quote = best
        market.quote_time.reach(ts, recv)
        return [Ticker(self.name, market.symbol, ts, recv, self.source, *best)]

    def _tickers(self, market: Market, m: TickerMessage, recv: int, connection: int) -> Events:  # noqa: ARG002 # the newest counts
        if market.ticker_time.outdates(m.ts, recv) or (m.type == "delta" and market.ticker is None):
            return self._duplicate("ticker")
        return [*tickers(market, m, self.name, recv, self.source)]

    def _candles(self, market: Market, timeframe: str, m: CandleMessage, recv: int, connection: int) -> Events:  # noqa: ARG002 # the newest counts
        for c in m.data:
            if c.start > c.end:
                raise MalformedFrame(f"candle ends at {c.end}, before it opens at {c.start}")
            check((c.open, c.high, c.low, c.close), (c.volume,))
        events: Events = []
        for c in m.data:
            ts, opened = c.timestamp * MILLISECOND, c.start * MILLISECOND
            if market.candles[timeframe].seen(opened, ts, closed=c.confirm):
                self._duplicate("candle")
                continue
            events.append(
                Candle(
                    self.name, market.symbol, ts, recv, self.source, timeframe, opened,
                    c.open, c.high, c.low, c.close, c.volume, None, closed=c.confirm,
                )
            )  # fmt: skip
        return events

    def _liquidations(self, market: Market, m: LiquidationMessage, recv: int, connection: int) -> Events:  # noqa: ARG002 # the symbol's
        """A long position ("Buy") is liquidated by selling. The receive times differ: they tell liquidations apart."""
        for item in m.data:
            check((item.p, item.v))
        events: Events = []
        for item in m.data:
            if market.liquidations.seen(f"{item.T}{item.S}{item.v}@{item.p}"):
                self._duplicate("liquidation")
                continue
            side: Side = "sell" if item.S == "Buy" else "buy"
            ts, own = item.T * MILLISECOND, recv + len(events)
            events.append(Liquidation(self.name, market.symbol, ts, own, self.source, None, side, item.p, item.v))
        return events

    def _duplicate(self, channel: str) -> Events:
        self.duplicates[channel] += 1
        return []

    # answers
    def answer(self, request: Request, body: bytes | str, recv: int) -> Events:  # noqa: ARG002 # lists have no time
        """Take in a list of symbols; what is listed no more stays, not active. Raises MalformedFrame."""
        category = _asked(request)
        try:
            found, cursor = rest.instruments(body, self.name, category)
        except _UNDECODABLE as error:
            raise unreadable(request, error) from error
        self._listings.take(category, found, first="cursor" not in request.params, last=not cursor)
        for instrument in found:
            self._natives[category == "spot", instrument.native] = instrument.symbol
        if cursor:
            self.requests.append(rest.instruments_request(category, cursor))
        return []

    def failed(self, request: Request) -> None:
        """Say that a request will not be answered: a further page of symbols is asked for again."""
        if "cursor" in request.params:
            self.requests.append(request)

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: books start anew, as do those of a connection that is gone.

        All else needs nothing: tickers begin with a snapshot, and what has been published stays known.
        """
        self._spot_connections.pop(connection, None)
        books = {feed.symbol for feed in feeds if feed.channel == "book"}
        for market in self._markets.values():
            if market.symbol in books or market.book.connection == connection:
                market.book.lost()

    # history
    def history(self, feed: FeedKey, span: Span) -> Request | None:
        """Return the first call for candles, funding rates, or trades, of which Bybit gives out the newest alone."""
        instrument = self._listings.find(feed.symbol)
        category = _category(instrument)
        match feed.channel:
            case "trade":
                return rest.trades_request(instrument, category, span)
            case "candle":
                return rest.candles_request(instrument, category, feed.timeframe, span)
            case "funding" if instrument.kind in {"linear", "inverse"}:
                return rest.funding_request(instrument, category, span)
        return None

    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events. Raises MalformedFrame."""
        source: Source = "backfill" if self.source == "ws" else self.source
        stamp = Stamp(self.name, request.symbol, recv, source)
        try:
            return rest.page(request, self._listings.find(request.symbol), _asked(request), body, stamp)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        instrument = self._listings.find(trade.symbol)
        return not self._market(instrument.native, spot=instrument.kind == "spot").trades.seen(trade.id)

    # REST
    def standing(self, status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:
        """Read status and retCode."""
        return rest.standing(status, headers, body, now)


def _category(instrument: Instrument) -> Category:
    """Return the category that an instrument is listed in; dated ones settle in their base, or they are linear."""
    if instrument.kind == "spot":
        return "spot"
    return "inverse" if instrument.symbol.partition(":")[2].partition("-")[0] == instrument.base else "linear"


def _asked(request: Request) -> Category:
    """Return the category that a call was about. Raises MalformedFrame."""
    for category in CATEGORIES:
        if request.params.get("category") == category:
            return category
    raise MalformedFrame(f"the call of {request.path} names no category")


def _operation(operation: str, topics: Sequence[str], message_id: int) -> str:
    message = {"req_id": str(message_id), "op": operation, "args": topics}
    return msgspec.json.encode(message).decode()


def _notice(value: Any) -> Notice:
    """Say what a frame without a topic is.

    {"success":true,"ret_msg":"subscribe","conn_id":"…","req_id":"1","op":"subscribe"}; {"success":true,
    "ret_msg":"pong","conn_id":"…","op":"ping"}; {"success":false,"ret_msg":"error:handler not found,topic:…",…}
    """
    if not isinstance(value, dict) or "op" not in value:
        return Notice("unknown", msgspec.json.encode(value).decode()[:100])
    text = str(value.get("ret_msg"))[:500]
    number = str(value.get("req_id"))
    if value.get("success") is False and "already subscribed" not in text:
        return Notice("refused", text, int(number) if number.isascii() and number.isdecimal() else None)
    return Notice("control", text)
