"""Kraken spot (WebSocket v2): trades, best bid and ask with 24-hour statistics, order book and candles.

https://docs.kraken.com/exchange/api-reference/spot-websocket
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from math import inf
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from bus.errors import ConfigError, MalformedFrame, said
from bus.events import Book, Candle, Level, Source, Ticker, Trade
from daemon.exchanges import kraken_rest as rest
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
    Standing,
    Translated,
)
from daemon.exchanges.damage import named
from daemon.exchanges.decimals import check, is_zero, sound_trade
from daemon.exchanges.kraken_frames import PING, notice, requests
from daemon.exchanges.kraken_market import Market
from daemon.exchanges.kraken_messages import (
    BOOKS,
    LONGEST_OF_ONE,
    ONE_LEVEL,
    BookMessage,
    OhlcMessage,
    TickerData,
    TickerMessage,
    TradeMessage,
    digits,
    levels,
)
from daemon.exchanges.listings import Listings
from daemon.exchanges.rfc3339 import SECONDS, UNITS, nanoseconds

Events: TypeAlias = list[Translated]
Handler: TypeAlias = Callable[[bytes, int, int], Events]

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_BEGINNING: Final = len(b'{"channel":"book"')
"""Bytes of a frame that tell the channels of data apart."""
_TYPED: Final = 60
"""Bytes of a frame that tell a snapshot."""
_TIMEFRAMES: Final = {minutes: timeframe for timeframe, minutes in rest.MINUTES.items()}

_one_level = ONE_LEVEL.fullmatch
_book = msgspec.json.Decoder(BookMessage).decode
_trades = msgspec.json.Decoder(TradeMessage).decode
_tickers = msgspec.json.Decoder(TickerMessage).decode
_candles = msgspec.json.Decoder(OhlcMessage).decode


class Kraken(Exchange):
    """The translator of Kraken spot. Trades are single ones: there is no stream of aggregates."""

    name: ClassVar[str] = "kraken"
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "ticker", "book", "candle"})
    timeframes: ClassVar[frozenset[str]] = frozenset(rest.MINUTES)
    contiguous: ClassVar[bool] = True
    """`trade_id` is "a sequence number, unique per book", https://docs.kraken.com/api/docs/websocket-v2/trade"""
    endpoints: ClassVar[Endpoints] = Endpoints("https://api.kraken.com", "wss://ws.kraken.com")
    # https://support.kraken.com/articles/360022326871: about 150 connections in 10 minutes; a heartbeat every second
    # once something is subscribed to, and a connection without anything is closed after a minute. Public REST calls:
    # one a second, https://support.kraken.com/articles/206548367-what-are-the-api-rate-limits-
    limits: ClassVar[Limits] = Limits(
        feeds_per_connection=200,
        streams_per_message=50,
        message_interval=0.1,
        connects_per_minute=15,
        lifetime=inf,
        ping_interval=30,
        silence=30,
        weight=10,
        weight_window=10,
    )

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        super().__init__(source, trades)
        self._listings = Listings(self.name, "BTC/USD")
        self._symbols: dict[str, str] = {}
        self._names: dict[str, str] = {}
        """Symbols by the names of the list of pairs, which statistics go by."""
        self._markets: dict[str, Market] = {}
        self._handlers: dict[str, Handler] = {
            "book": self._books,
            "trade": self._trades,
            "ticker": self._tickers,
            "ohlc": self._ohlc,
        }
        self._routes = {_beginning(name): read for name, read in self._handlers.items()}

    # instruments
    def instruments_requests(self) -> Sequence[Request]:
        """Return the call that lists the pairs."""
        return [rest.instruments_request()]

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the list was answered."""
        return self._listings.instruments

    def volumes_requests(self) -> Sequence[Request]:
        """Return the call that tells every pair's volume."""
        return [rest.volumes_request()]

    def volumes(self, request: Request, body: bytes | str) -> Mapping[str, Decimal]:
        """Read what was traded in 24 hours, in quote currency, by unified symbol. Raises MalformedFrame."""
        try:
            found = rest.volumes(body)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        return {self._names[name]: volume for name, volume in found.items() if name in self._names}

    # subscribing
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the channel and pair that make up a feed. Raises ConfigError for a feed that Kraken lacks."""
        native = self._listings.find(feed.symbol).native
        if feed.channel not in self.channels:
            raise ConfigError(f"kraken has no channel {feed.channel!r}; it has {', '.join(sorted(self.channels))}")
        if feed.channel != "candle":
            return [f"{feed.channel}:{native}"]
        if feed.timeframe not in rest.MINUTES:
            raise ConfigError(f"kraken has no timeframe {feed.timeframe!r}; it has {', '.join(sorted(rest.MINUTES))}")
        return [f"ohlc-{rest.MINUTES[feed.timeframe]}:{native}"]

    def url(self, websocket: str, feed: FeedKey) -> str:  # noqa: ARG002 # one URL carries everything
        """Return the URL of version 2."""
        return f"{websocket.rstrip('/')}/v2"

    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the messages that subscribe, one for each channel."""
        self._subscribed |= {stream.partition(":")[2] for stream in streams}
        return requests("subscribe", streams, message_id)

    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the messages that end these subscriptions."""
        return requests("unsubscribe", streams, message_id)

    def ping(self) -> str | None:
        """Return the request that keeps a connection open."""
        return PING

    # data
    def parse(self, frame: bytes, recv: int, connection: int = 0) -> Events:
        """Turn one frame into events. Raises MalformedFrame; a book that it was about begins anew.

        Almost all frames are one level of one book: those are taken apart here, all others by `_routed`.
        """
        try:
            one = _one_level(frame.decode("latin-1")) if len(frame) <= LONGEST_OF_ONE else None
            if one is None:
                return self._routed(frame, recv, connection)
            native, bid, bid_size, ask, ask_size, checksum, second, decimals = one.groups()
            try:
                market, ts = self._markets[native], SECONDS[second] + int(decimals) * UNITS[len(decimals)]
            except KeyError:  # the first of its pair, or of its second
                return self._routed(frame, recv, connection)
            bids, asks = [(bid, bid_size)] if bid else [], [(ask, ask_size)] if ask else []
            return self._delta(market, bids, asks, ts, int(checksum), recv, connection)
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
        if isinstance(value, dict) and not value.keys() & {"method", "error"} and BOOKS.own.search(raw):
            raise MalformedFrame(f"a book of the channel {channel!r}"[:100])
        said = notice(value)
        symbol = self._symbols.get(str(value.get("symbol"))) if said.kind == "refused" else None
        self.notices.append(said if symbol is None else replace(said, feeds=_all_feeds(symbol)))
        return []

    def _doubt(self, raw: bytes, connection: int) -> None:
        """Give up the books that an unreadable message may have been about: a checksum covers the best levels alone.

        One that waits for a snapshot asks for it again where the message was that.
        """
        found = named(raw, BOOKS, lambda name: name in self._markets or name in self._subscribed)
        about = self._markets if found is None else found
        snapshots = found or () if b'"snapshot"' in raw[:_TYPED] else ()
        books: list[Market] = []
        for name, market in self._markets.items():
            owner = market.chain.connection
            if (name in about and owner == connection) or (name in snapshots and owner is None):
                market.chain.lost()
                books.append(market)
        self._broken(books, "a message about it cannot be read")

    def _market(self, native: str) -> Market:
        """Return the memory of a pair. Raises MalformedFrame for one that has no unified name."""
        market = self._markets.get(native)
        if market is None:
            symbol = self._symbols.get(native) or rest.unified(native)
            if symbol is None:
                raise MalformedFrame(f"unknown symbol {native[:40]!r}")
            market = self._markets[native] = Market(symbol)
        return market

    def _met(self, native: str) -> Market:
        """Return the memory of a pair that a message names first. Raises MalformedFrame for one not subscribed to."""
        self._expect(native)
        return self._market(native)

    def _books(self, raw: bytes, recv: int, connection: int) -> Events:
        m = _book(raw)
        events: Events = []
        for data in m.data:
            market = self._markets.get(data.symbol) or self._met(data.symbol)
            read = self._delta if m.type == "update" else self._snapshot
            bids, asks, ts = levels(data.bids), levels(data.asks), nanoseconds(data.timestamp)
            events += read(market, bids, asks, ts, data.checksum, recv, connection)
        return events

    def _snapshot(
        self, market: Market, bids: list[Level], asks: list[Level], ts: int, checksum: int | None, recv: int,
        connection: int,
    ) -> Events:  # fmt: skip
        book = market.book
        market.chain.begin(connection)
        book.bids.reset(bids)
        book.asks.reset(asks)
        if checksum is not None and book.checksum() != checksum:
            return self._broken([market], "a snapshot's checksum is wrong")
        return [
            Book(self.name, market.symbol, ts, recv, self.source, "snapshot", bids, asks, None, None, None, checksum)
        ]

    def _delta(
        self, market: Market, bids: list[Level], asks: list[Level], ts: int, checksum: int | None, recv: int,
        connection: int,
    ) -> Events:  # fmt: skip
        if market.chain.connection != connection:
            if market.chain.take(connection) == "duplicate":
                return self._duplicate("book")
            self._renew([market.symbol], "an update without a snapshot")
            return []
        book = market.book
        if bids:
            book.bids.change(bids)
        if asks:
            book.asks.change(asks)
        if book.checksum() != checksum:
            return self._broken([market], "its checksum is wrong")
        return [Book(self.name, market.symbol, ts, recv, self.source, "delta", bids, asks, None, None, None, checksum)]

    def _broken(self, books: Iterable[Market], why: str) -> Events:
        """Ask once for new subscriptions of books; what comes until their snapshots is dropped."""
        self._renew([market.symbol for market in books if market.chain.fail() == "broken"], why)
        return []

    def _trades(self, raw: bytes, recv: int, connection: int) -> Events:  # noqa: ARG002 # ids are the pair's
        """Publish trades. A snapshot repeats the last ones: it fills what a broken connection missed, nothing else."""
        m = _trades(raw)
        found: list[tuple[int, Market, Trade]] = []
        for t in m.data:
            market = self._markets.get(t.symbol) or self._met(t.symbol)
            price, amount = digits(t.price), digits(t.qty)
            if not sound_trade(price, amount):
                raise MalformedFrame(f"price {price!r} or amount {amount!r} is not a plain decimal above 0")
            ts, number = nanoseconds(t.timestamp), t.trade_id
            if m.type == "snapshot" and not 0 <= market.trades.last < number:
                continue
            trade = Trade(self.name, market.symbol, ts, recv, self.source, str(number), price, amount, t.side)
            found.append((number, market, trade))
        events: Events = [trade for number, market, trade in found if not market.trades.seen(number)]
        if len(events) != len(found):
            self.duplicates["trade"] += len(found) - len(events)
        return events

    def _tickers(self, raw: bytes, recv: int, connection: int) -> Events:  # noqa: ARG002 # the newest counts
        events: Events = []
        for t in _tickers(raw).data:
            market = self._markets.get(t.symbol) or self._met(t.symbol)
            ts = None if t.timestamp is None else nanoseconds(t.timestamp)
            quote = _quote(t)
            if quote == market.quote or (ts is not None and market.quote_time.outdates(ts, recv)):
                self._duplicate("ticker")
                continue
            market.quote = quote
            market.quote_time.reach(ts or 0, recv)
            events.append(Ticker(self.name, market.symbol, ts, recv, self.source, *quote))
        return events

    def _ohlc(self, raw: bytes, recv: int, connection: int) -> Events:  # noqa: ARG002 # the newest counts
        m = _candles(raw)
        ts = None if m.timestamp is None else nanoseconds(m.timestamp)
        feeds: dict[tuple[str, int], list[Candle]] = {}
        for c in m.data:
            market = self._markets.get(c.symbol) or self._met(c.symbol)
            values = digits(c.open), digits(c.high), digits(c.low), digits(c.close), digits(c.volume)
            check(values[:4], values[4:])
            timeframe, opened = _TIMEFRAMES.get(c.interval), nanoseconds(c.interval_begin)
            if timeframe is None:
                raise MalformedFrame(f"unknown interval of {c.interval} minutes")
            feeds.setdefault((c.symbol, c.interval), []).append(
                Candle(
                    self.name, market.symbol, ts, recv, self.source, timeframe, opened, *values, c.trades, closed=False
                )
            )  # fmt: skip
        events: Events = []
        for (native, minutes), candles in feeds.items():
            roll = self._markets[native].candles[_TIMEFRAMES[minutes]]
            events += roll.take(candles, snapshot=m.type == "snapshot") or self._duplicate("candle")
        return events

    def _duplicate(self, channel: str) -> Events:
        self.duplicates[channel] += 1
        return []

    # answers
    def answer(self, request: Request, body: bytes | str, recv: int) -> Events:  # noqa: ARG002 # the list has no time
        """Take in the list of pairs; what is listed no more stays, not active. Raises MalformedFrame."""
        try:
            found = rest.instruments(body, self.name)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        self._listings.take("spot", found.values())
        self._symbols |= {instrument.native: instrument.symbol for instrument in found.values()}
        self._names |= {name: instrument.symbol for name, instrument in found.items()}
        return []

    def failed(self, request: Request) -> None:
        """Say that a request will not be answered: nothing waits for one."""

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: books start anew, as do those of a connection that is gone.

        All else needs nothing: its channels begin with a snapshot, and what has been published stays known.
        """
        books = {feed.symbol for feed in feeds if feed.channel == "book"}
        for market in self._markets.values():
            if market.symbol in books or market.chain.connection == connection:
                market.chain.lost()

    # history
    def history(self, feed: FeedKey, span: Span) -> Request | None:
        """Return the first call for trades, or for candles, of which Kraken keeps the last 720 alone."""
        native = self._listings.find(feed.symbol).native
        if feed.channel == "candle":
            return rest.candles_request(feed.symbol, native, feed.timeframe, span)
        return rest.history_request(feed.symbol, native, span) if feed.channel == "trade" else None

    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events. Raises MalformedFrame."""
        source: Source = "backfill" if self.source == "ws" else self.source
        stamp = Stamp(self.name, request.symbol, recv, source)
        try:
            return rest.page(request, self._listings.find(request.symbol).native, body, stamp)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        return not self._market(self._listings.find(trade.symbol).native).trades.seen(int(trade.id))

    # REST
    def standing(self, status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:
        """Read status and, since errors come with status 200, body."""
        return rest.standing(status, headers, body, now)


def _all_feeds(symbol: str) -> tuple[FeedKey, ...]:
    """Return every feed of a symbol: a refusal names the symbol, not the channel."""
    feeds = [FeedKey(symbol, channel) for channel in ("trade", "ticker", "book")]
    return *feeds, *(FeedKey(symbol, "candle", timeframe) for timeframe in rest.MINUTES)


def _beginning(channel: str) -> bytes:
    return f'{{"channel":"{channel}"'.encode()[:_BEGINNING]


def _quote(t: TickerData) -> tuple[str | None, ...]:
    """Return the values of a ticker in the order of the event's; a price that there is none of is 0."""
    bid, ask, last, high, low = (digits(price) for price in (t.bid, t.ask, t.last, t.high, t.low))
    bid_size, ask_size, volume = (digits(amount) for amount in (t.bid_qty, t.ask_qty, t.volume))
    check((), (bid, ask, last, high, low, bid_size, ask_size, volume))
    bids = (None, None) if is_zero(bid) else (bid, bid_size)
    asks = (None, None) if is_zero(ask) else (ask, ask_size)
    known_last, known_high, known_low = (None if is_zero(price) else price for price in (last, high, low))
    opened = None  # Kraken tells the change alone
    return *bids, *asks, known_last, opened, known_high, known_low, volume
