"""Coinbase Advanced Trade, spot: trades, best bid and ask with 24-hour statistics, order book and candles.

https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from math import inf
from operator import itemgetter
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

from bus.errors import ConfigError, MalformedFrame, said
from bus.events import Book, Level, Source, Ticker, Trade
from daemon.exchanges import coinbase_rest as rest
from daemon.exchanges.answers import Stamp, unreadable
from daemon.exchanges.base import (
    Endpoints,
    Exchange,
    FeedKey,
    Instrument,
    Limits,
    Page,
    Request,
    Span,
    Translated,
)
from daemon.exchanges.coinbase_count import Count
from daemon.exchanges.coinbase_frames import HEARTBEATS, notice, requests
from daemon.exchanges.coinbase_market import Market
from daemon.exchanges.coinbase_messages import (
    LONGEST_OF_ONE,
    ONE_UPDATE,
    BookMessage,
    CandlesMessage,
    Envelope,
    TickerMessage,
    TickerUpdate,
    TradesMessage,
    levels,
)
from daemon.exchanges.decimals import above_zero, check_given, sound_trade
from daemon.exchanges.listings import Listings
from daemon.exchanges.rfc3339 import SECONDS, UNITS, nanoseconds

Events: TypeAlias = list[Translated]
Handler: TypeAlias = Callable[[bytes, int, int], Events]

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_CHANNELS: Final = {"trade": "market_trades", "ticker": "ticker", "book": "level2", "candle": "candles"}
_STREAMED: Final = "5m"
"""The one timeframe of the stream; candles of the others are polled."""
_BEGINNING: Final = len(b'{"channel":"ticker"')
"""Bytes of a frame that tell the channels of data apart."""

_one_update = ONE_UPDATE.fullmatch
_book = msgspec.json.Decoder(BookMessage).decode
_trades = msgspec.json.Decoder(TradesMessage).decode
_tickers = msgspec.json.Decoder(TickerMessage).decode
_candles = msgspec.json.Decoder(CandlesMessage).decode
_envelope = msgspec.json.Decoder(Envelope).decode


class Coinbase(Exchange):
    """The translator of Coinbase's spot products. Trades are single ones: there is no stream of aggregates."""

    name: ClassVar[str] = "coinbase"
    channels: ClassVar[frozenset[str]] = frozenset(_CHANNELS)
    timeframes: ClassVar[frozenset[str]] = frozenset(rest.GRANULARITIES)
    contiguous: ClassVar[bool] = True
    endpoints: ClassVar[Endpoints] = Endpoints("https://api.coinbase.com", "wss://advanced-trade-ws.coinbase.com")
    # https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-rate-limits: 8 connections and
    # 8 messages a second for each address; a connection begins with up to four messages. Public REST calls: 10 a
    # second, .../rest-api/rate-limits. A message that is lost breaks all books of its connection, so that one does not
    # carry many.
    limits: ClassVar[Limits] = Limits(
        feeds_per_connection=40,
        streams_per_message=40,
        message_interval=0.25,
        connects_per_minute=60,
        lifetime=inf,
        ping_interval=15,
        silence=30,
        weight=10,
        weight_window=1,
    )

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        super().__init__(source, trades)
        self._listings = Listings(self.name, "BTC/USD")
        self._symbols: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        """What Coinbase streams in place of a symbol's own product, by symbol."""
        self._markets: dict[str, Market] = {}
        self._counts: defaultdict[int, Count] = defaultdict(Count)
        """The messages of each connection."""
        self._answered = 0
        """When the last answer came (ns): polls ask for candles from then on."""
        self._handlers: dict[str, Handler] = {
            "l2_data": self._books,
            "market_trades": self._trades,
            "ticker": self._tickers,
            "candles": self._ohlc,
        }
        self._routes = {f'{{"channel":"{name}"'.encode()[:_BEGINNING]: read for name, read in self._handlers.items()}

    # instruments
    def instruments_requests(self) -> Sequence[Request]:
        """Return the call that lists the spot products."""
        return [rest.instruments_request()]

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the list was answered."""
        return self._listings.instruments

    def volumes_requests(self) -> Sequence[Request]:
        """Return the call that tells every product's volume."""
        return [rest.volumes_request()]

    def volumes(self, request: Request, body: bytes | str) -> Mapping[str, Decimal]:
        """Read what was traded in 24 hours, in quote currency, by unified symbol. Raises MalformedFrame."""
        try:
            found = rest.volumes(body)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        return {self._symbols[name]: volume for name, volume in found.items() if name in self._symbols}

    # subscribing
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the channel and product that make up a feed; what is polled has none.

        Raises ConfigError for a feed that Coinbase lacks, and for a product that it streams under another's name
        ("-USDC based products", websocket-channels).
        """
        native = self._listings.find(feed.symbol).native
        if feed.channel not in _CHANNELS:
            raise ConfigError(f"coinbase has no channel {feed.channel!r}; it has {', '.join(sorted(_CHANNELS))}")
        if feed.symbol in self._aliases:
            raise ConfigError(f"coinbase streams {feed.symbol} as {self._aliases[feed.symbol]}: name that")
        if feed.channel == "candle" and feed.timeframe not in rest.GRANULARITIES:
            known = ", ".join(sorted(rest.GRANULARITIES))
            raise ConfigError(f"coinbase has no timeframe {feed.timeframe!r}; it has {known}")
        polled = feed.channel == "candle" and feed.timeframe != _STREAMED
        return [] if polled else [f"{_CHANNELS[feed.channel]}:{native}"]

    def url(self, websocket: str, feed: FeedKey) -> str:  # noqa: ARG002 # one URL carries everything
        """Return the URL of market data."""
        return websocket.rstrip("/")

    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:  # noqa: ARG002 # messages have none
        """Return the messages that subscribe, one for each channel."""
        self._subscribed |= {stream.partition(":")[2] for stream in streams}
        return requests("subscribe", streams)

    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:  # noqa: ARG002 # as above
        """Return the messages that end these subscriptions."""
        return requests("unsubscribe", streams)

    def connected(self, connection: int, url: str) -> None:  # noqa: ARG002 # all URLs are alike
        """Begin to count a connection's messages."""
        self._counts.pop(connection, None)

    def ping(self) -> str | None:
        """Return the request for heartbeats, which keep quiet subscriptions open; it is answered each time."""
        return HEARTBEATS

    # data
    def parse(self, frame: bytes, recv: int, connection: int = 0) -> Events:
        """Turn one frame into events. Raises MalformedFrame; a book that it was about begins anew.

        Almost all frames are one update of one book: those are read here, all others by `_routed`.
        """
        try:
            one = _one_update(frame.decode("latin-1")) if len(frame) <= LONGEST_OF_ONE else None
            if one is None:
                return self._routed(frame, recv, connection)
            second, decimals, digits, native, offer, price, amount = one.groups()
            try:
                market, ts = self._markets[native], SECONDS[second] + int(decimals) * UNITS[len(decimals)]
            except KeyError:  # the first of its product, or of its second
                return self._routed(frame, recv, connection)
            number, count = int(digits), self._counts[connection]
            if count.last == number - 1:
                count.last = number  # the most frequent case without a call
            elif self._late(number, connection):
                return self._duplicate("book")
            if market.book.connection != connection:
                return self._stray(market, connection)
            bids: list[Level] = []
            asks: list[Level] = []
            (asks if offer else bids).append((price, amount))
            return [Book(self.name, market.symbol, ts, recv, self.source, "delta", bids, asks)]
        except (MalformedFrame, *_UNDECODABLE) as error:
            self._doubt(frame, connection)
            raise MalformedFrame(f"{said(error)}"[:200]) from error

    def _routed(self, raw: bytes, recv: int, connection: int) -> Events:
        """Lead a frame to the reader of its channel; find out what it is when it does not begin with one's name."""
        handler = self._routes.get(raw[:_BEGINNING])
        if handler is not None:
            return handler(raw, recv, connection)
        value = msgspec.json.decode(raw)
        channel = value.get("channel") if isinstance(value, dict) else None
        handler = self._handlers.get(channel) if isinstance(channel, str) else None
        if handler is not None:
            return handler(raw, recv, connection)
        if b'"updates":' in raw:
            raise MalformedFrame("book updates of another channel")
        if isinstance(channel, str):
            self._late(_envelope(raw).sequence_num, connection)
        self.notices.append(notice(value))
        return []

    def _late(self, number: int, connection: int) -> bool:
        """Count a message of a connection; tell whether it came before, or after ones that follow it.

        Where one is missing it could have been about any book of the connection: all of them begin anew.
        """
        count = self._counts[connection]
        last = count.last
        place = count.take(number)
        if place in {"missing", "anew"}:
            books = [market for market in self._markets.values() if market.book.connection == connection]
            if place == "anew":  # the snapshots that were asked for may be among what was dropped
                waiting = [market for market in self._markets.values() if market.book.waits]
                for market in waiting:
                    market.book.lost()
                books += waiting
            self._broken(books, f"message {number} came after {last}")
        return place == "late"

    def _doubt(self, raw: bytes, connection: int) -> None:
        """Count a message that cannot be read, and give up the books that it may have been about.

        One that waits for a snapshot asks for it again where the message was that.
        """
        try:
            envelope = _envelope(raw)
        except _UNDECODABLE:
            return  # the next message's number will tell
        self._late(envelope.sequence_num, connection)
        if envelope.channel != "l2_data" and b'"updates":' not in raw:
            return
        known = self._markets.keys() | self._subscribed
        if envelope.events and all(event.product_id in known for event in envelope.events):
            snapshots = {event.product_id for event in envelope.events if bytes(event.type) == b'"snapshot"'}
            named = {event.product_id for event in envelope.events}
        else:
            snapshots, named = set(), set(self._markets)
        books = [
            market
            for native, market in self._markets.items()
            if (native in named and market.book.connection == connection)
            or (native in snapshots and market.book.connection is None)
        ]
        for market in books:
            market.book.lost()
        self._broken(books, "a message cannot be read")

    def _broken(self, books: Iterable[Market], why: str) -> None:
        """Ask once for new subscriptions of books; what comes until their snapshots is dropped."""
        self._renew([market.symbol for market in books if market.book.fail() == "broken"], why)

    def _market(self, native: str) -> Market:
        """Return the memory of a product. Raises MalformedFrame for one that has no unified name."""
        market = self._markets.get(native)
        if market is None:
            symbol = self._symbols.get(native) or rest.unified(native)
            if symbol is None:
                raise MalformedFrame(f"unknown product {native[:40]!r}")
            market = self._markets[native] = Market(symbol)
        return market

    def _met(self, native: str) -> Market:
        """Return the memory of a product that is met first. Raises MalformedFrame for one not subscribed to."""
        self._expect(native)
        return self._market(native)

    def _books(self, raw: bytes, recv: int, connection: int) -> Events:
        """Publish snapshots, and updates of books that are whole."""
        m = _book(raw)
        if self._late(m.sequence_num, connection):
            return self._duplicate("book")
        ts = nanoseconds(m.timestamp)
        events: Events = []
        for event in m.events:
            market = self._markets.get(event.product_id) or self._met(event.product_id)
            bids, asks = levels(event.updates)
            if event.type == "snapshot":
                market.book.begin(connection)
                events.append(Book(self.name, market.symbol, ts, recv, self.source, "snapshot", bids, asks))
            elif market.book.connection == connection:
                events.append(Book(self.name, market.symbol, ts, recv, self.source, "delta", bids, asks))
            else:
                events += self._stray(market, connection)
        return events

    def _stray(self, market: Market, connection: int) -> Events:
        """Drop an update of a book that has no snapshot of this connection; ask once for one."""
        if market.book.take(connection) == "broken":
            self._renew([market.symbol], "an update without a snapshot")
            return []
        return self._duplicate("book")

    def _trades(self, raw: bytes, recv: int, connection: int) -> Events:
        """Publish trades. A snapshot repeats the last ones: it fills what a broken connection missed, nothing else."""
        m = _trades(raw)
        self._late(m.sequence_num, connection)
        found: list[tuple[int, Market, Trade]] = []
        for event in m.events:
            for t in event.trades:
                market = self._markets.get(t.product_id) or self._met(t.product_id)
                if not sound_trade(t.price, t.size):
                    raise MalformedFrame(f"price {t.price!r} or amount {t.size!r} is not a plain decimal above 0")
                ts, number = nanoseconds(t.time), int(t.trade_id)
                if event.type == "snapshot" and not 0 <= market.trades.last < number:
                    continue
                trade = Trade(
                    self.name, market.symbol, ts, recv, self.source, str(number), t.price, t.size, rest.taker(t)
                )  # fmt: skip
                found.append((number, market, trade))
        found.sort(key=itemgetter(0))
        events: Events = [trade for number, market, trade in found if not market.trades.seen(number)]
        if len(events) != len(found):
            self.duplicates["trade"] += len(found) - len(events)
        return events

    def _tickers(self, raw: bytes, recv: int, connection: int) -> Events:
        m = _tickers(raw)
        self._late(m.sequence_num, connection)
        ts = nanoseconds(m.timestamp)
        events: Events = []
        for t in [t for event in m.events for t in event.tickers]:
            market = self._markets.get(t.product_id) or self._met(t.product_id)
            quote = _quote(t)
            if quote == market.quote or market.quote_time.outdates(ts, recv):
                self._duplicate("ticker")
                continue
            market.quote = quote
            market.quote_time.reach(ts, recv)
            events.append(Ticker(self.name, market.symbol, ts, recv, self.source, *quote))
        return events

    def _ohlc(self, raw: bytes, recv: int, connection: int) -> Events:
        m = _candles(raw)
        self._late(m.sequence_num, connection)
        ts = nanoseconds(m.timestamp)
        events: Events = []
        for event in m.events:
            for native in dict.fromkeys(c.product_id for c in event.candles):
                market = self._met(native)
                stamp = Stamp(self.name, market.symbol, recv, self.source)
                bars = [rest.candle(c, stamp, _STREAMED, ts) for c in event.candles if c.product_id == native]
                roll = market.candles[_STREAMED]
                events += roll.take(bars, snapshot=event.type == "snapshot") or self._duplicate("candle")
        return events

    def _duplicate(self, channel: str) -> Events:
        self.duplicates[channel] += 1
        return []

    # answers
    def answer(self, request: Request, body: bytes | str, recv: int) -> Events:
        """Take in the list of products, or turn a poll's answer into events. Raises MalformedFrame."""
        self._answered = recv
        try:
            if request.kind == "poll":
                return self._polled(request, body, recv)
            listed = rest.products(body)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        found = [rest.instrument(product, self.name) for product in listed]
        self._listings.take("spot", found)
        self._symbols |= {instrument.native: instrument.symbol for instrument in found}
        self._aliases = {
            self._symbols[product.product_id]: self._symbols[product.alias]
            for product in listed
            if product.alias in self._symbols
        }
        return []

    def _polled(self, request: Request, body: bytes | str, recv: int) -> Events:
        live: Source = "rest" if self.source == "ws" else self.source
        bars = rest.candles(body, Stamp(self.name, request.symbol, recv, live), request.timeframe)
        roll = self._market(self._listings.find(request.symbol).native).candles[request.timeframe]
        return [*roll.take(bars, snapshot=True)] or self._duplicate("candle")

    def polls(self, feed: FeedKey) -> Request | None:
        """Return the call for candles of a timeframe that is not streamed."""
        if feed.channel != "candle" or feed.timeframe == _STREAMED:
            return None
        return rest.poll_request(self._listings.find(feed.symbol), feed.timeframe, self._answered)

    def failed(self, request: Request) -> None:
        """Say that a request will not be answered: nothing waits for one."""

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: books start anew, as do those of a connection that is gone.

        All else needs nothing: its channels begin with a snapshot, and what has been published stays known.
        """
        self._counts.pop(connection, None)
        books = {feed.symbol for feed in feeds if feed.channel == "book"}
        for market in self._markets.values():
            if market.symbol in books or market.book.connection == connection:
                market.book.lost()

    # history
    def history(self, feed: FeedKey, span: Span) -> Request | None:
        """Return the first call for trades or candles."""
        instrument = self._listings.find(feed.symbol)
        if feed.channel == "candle":
            return rest.candles_request(instrument, feed.timeframe, span)
        return rest.history_request(instrument, span) if feed.channel == "trade" else None

    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events. Raises MalformedFrame."""
        source: Source = "backfill" if self.source == "ws" else self.source
        stamp = Stamp(self.name, request.symbol, recv, source)
        try:
            return rest.page(request, self._listings.find(request.symbol), body, stamp)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        return not self._market(self._listings.find(trade.symbol).native).trades.seen(int(trade.id))


def _quote(t: TickerUpdate) -> tuple[str | None, ...]:
    """Return the values of a ticker in the order of the event's. Raises MalformedFrame."""
    check_given(
        t.best_bid, t.best_bid_quantity, t.best_ask, t.best_ask_quantity, t.price, t.high_24_h, t.low_24_h,
        t.volume_24_h,
    )  # fmt: skip
    bid, ask = above_zero(t.best_bid), above_zero(t.best_ask)
    opened = None  # Coinbase tells the change alone
    return (
        bid, t.best_bid_quantity or None if bid else None, ask, t.best_ask_quantity or None if ask else None,
        above_zero(t.price), opened, above_zero(t.high_24_h), above_zero(t.low_24_h), t.volume_24_h or None,
    )  # fmt: skip
