"""OKX v5, spot, perpetual and dated: trades, tickers, order books, candles, liquidations and what contracts add.

https://www.okx.com/docs-v5/en/#overview-websocket. Amounts of contracts are counted in contracts; an instrument's
`contract_size` says how much one is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from math import inf
from typing import Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from bus.clock import MILLISECOND
from bus.errors import MalformedFrame, said
from bus.events import Book, Funding, Level, Liquidation, MarkPrice, OpenInterest, Source, Trade
from daemon.exchanges import okx_contracts as contracts
from daemon.exchanges import okx_rest as rest
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
from daemon.exchanges.damage import Signs, named
from daemon.exchanges.decimals import check, sound_trade
from daemon.exchanges.listings import Listings
from daemon.exchanges.okx_books import BookMessage
from daemon.exchanges.okx_frames import CHANNELS, READERS, notice, operation, stream
from daemon.exchanges.okx_market import Market
from daemon.exchanges.okx_messages import (
    BARS,
    TIMEFRAMES,
    CandleItem,
    FundingItem,
    InterestItem,
    LiquidationItem,
    MarkItem,
    Push,
    TickerItem,
    TradeItem,
)
from daemon.exchanges.okx_tickers import ticker

Events: TypeAlias = list[Translated]
Handler: TypeAlias = Callable[[Any, int, int], Events]

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_PREFIX: Final = b'{"arg":{"channel":"'
_PREFIX_LENGTH: Final = len(_PREFIX)
_SIGNS: Final = Signs(
    own=re.compile(rb'"trades(?:-all)?"|"tradeId"|"px"'),
    others=re.compile(
        rb'"(?:books|tickers|candle|funding-rate|open-interest|mark-price|liquidation-orders|asks|bids|askPx|event)'
    ),
    name=re.compile(rb'"instId":"([A-Z0-9-]++)"'),
)


class Okx(Exchange):
    """The translator of OKX. `trades="aggregate"` subscribes to trades in place of trades-all."""

    name: ClassVar[str] = "okx"
    channels: ClassVar[frozenset[str]] = CHANNELS
    timeframes: ClassVar[frozenset[str]] = frozenset(BARS)
    # One stream carries those of all symbols.
    bundled: ClassVar[frozenset[type]] = frozenset({Liquidation})
    endpoints: ClassVar[Endpoints] = Endpoints("https://www.okx.com", "wss://ws.okx.com:8443")
    # #overview-websocket: 3 connections a second; 480 subscriptions an hour on a connection, 64 KB in one message; it
    # is closed after 30 s without one. #order-book-trading-market-data: 20 requests in 2 seconds for each endpoint,
    # counted here as if they were one. A connection's age has no documented limit.
    limits: ClassVar[Limits] = Limits(
        feeds_per_connection=300,
        streams_per_message=100,
        message_interval=0.25,
        connects_per_minute=180,
        lifetime=inf,
        ping_interval=25,
        silence=60,
        weight=20,
        weight_window=2,
        messages_per_hour=480,
    )

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        super().__init__(source, trades)
        self._listings = Listings(self.name, "BTC/USDT or BTC/USDT:USDT")
        self._markets: dict[str, Market] = {}
        self._natives: dict[str, str] = {}
        self._routes: dict[bytes, tuple[Callable[[bytes], Any], Handler]] = {}
        self._handlers: dict[str, Callable[..., Events]] = {
            "trades": self._aggregates,
            "trades-all": self._trades,
            "books": self._book,
            "tickers": self._tickers,
            "funding-rate": self._funding,
            "open-interest": self._interest,
            "mark-price": self._marks,
        }

    # instruments
    def instruments_requests(self) -> Sequence[Request]:
        """Return the calls that list the instruments, one for each type."""
        return [rest.instruments_request(kind) for kind in rest.TYPES]

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the first list was answered."""
        return self._listings.instruments

    def volumes_requests(self) -> Sequence[Request]:
        """Return the calls that tell every instrument's volume, one for each type."""
        return [rest.volumes_request(kind) for kind in rest.TYPES]

    def volumes(self, request: Request, body: bytes | str) -> Mapping[str, Decimal]:
        """Read what was traded in 24 hours, in quote currency, by unified symbol. Raises MalformedFrame."""
        try:
            found = rest.volumes(body)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        return {self._natives[native]: volume for native, volume in found.items() if native in self._natives}

    # subscribing
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return `channel:instrument` of what makes up a feed. Raises ConfigError for a feed that OKX lacks."""
        instrument = self._listings.find(feed.symbol)
        return [stream(feed, instrument, aggregates=self.trades_wanted == "aggregate")]

    def url(self, websocket: str, feed: FeedKey) -> str:
        """Return the URL that carries a channel: candles and single trades are on the one for business."""
        business = feed.channel == "candle" or (feed.channel == "trade" and self.trades_wanted == "each")
        return f"{websocket.rstrip('/')}/ws/v5/{'business' if business else 'public'}"

    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that subscribes, section "Subscribe"."""
        self._subscribed |= {stream.partition(":")[2] for stream in streams}
        return [operation("subscribe", streams, message_id)]

    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the message that ends these subscriptions."""
        return [operation("unsubscribe", streams, message_id)]

    def ping(self) -> str | None:
        """Return the text that keeps a connection open."""
        return "ping"

    # data
    def parse(self, frame: bytes, recv: int, connection: int = 0) -> Events:
        """Turn one frame into events. Raises MalformedFrame.

        A channel and its instrument, met once, lead straight to their typed decoder.
        """
        try:
            route = self._routes.get(frame[: frame.find(b"}", _PREFIX_LENGTH)])
            if route is None:
                return self._unrouted(frame, recv, connection)
            return route[1](route[0](frame), recv, connection)
        except _UNDECODABLE as error:
            raise MalformedFrame(f"{said(error)}"[:200]) from error

    def torn(self, frame: bytes, connection: int = 0) -> Sequence[FeedKey] | None:  # noqa: ARG002 # ids are the symbol's
        """Return the feed that an unreadable message of trades was about, None where it may have been any of them."""
        found = named(frame, _SIGNS, lambda name: name in self._natives and self._expects(name))
        return None if found is None else [FeedKey(self._natives[name], "trade") for name in found]

    def _unrouted(self, raw: bytes, recv: int, connection: int) -> Events:
        """Find out what a frame is; a stream that is met for the first time gets its route."""
        if raw == b"pong":
            self.notices.append(Notice("control", "pong"))
            return []
        value = msgspec.json.decode(raw)
        arg = value.get("arg") if isinstance(value, dict) and "event" not in value else None
        channel = str(arg.get("channel")) if isinstance(arg, dict) else None
        if channel not in READERS and b'"tradeId"' in raw:
            raise MalformedFrame(f"trades of the channel {channel}")
        if channel is None:
            self.notices.append(notice(value))
            return []
        if channel not in READERS:
            self.notices.append(Notice("unknown", channel[:100]))
            return []
        decode = READERS[channel]
        handler = self._handler(channel, str(value["arg"].get("instId")))
        events = handler(decode(raw), recv, connection)
        if raw.startswith(_PREFIX):
            self._routes[raw[: raw.find(b"}", _PREFIX_LENGTH)]] = (decode, handler)
        return events

    def _handler(self, channel: str, native: str) -> Handler:
        """Return what reads a stream. Raises MalformedFrame for an instrument that is not listed."""
        if channel == "liquidation-orders":
            return self._liquidations
        self._expect(native)
        market = self._market(native)
        if channel in self._handlers:
            return partial(self._handlers[channel], market)
        return partial(self._candles, market, TIMEFRAMES[channel.removeprefix("candle")])

    def _market(self, native: str) -> Market:
        """Return the memory of an instrument. Raises MalformedFrame for one that is not listed."""
        market = self._markets.get(native)
        if market is None:
            if native not in self._natives:
                raise MalformedFrame(f"unknown instrument {native[:40]!r}")
            market = self._markets[native] = Market(self._listings.find(self._natives[native]))
        return market

    def _trades(self, market: Market, m: Push[TradeItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # ids are the symbol's
        return self._unseen(market, m, recv, market.trades.seen)

    def _aggregates(self, market: Market, m: Push[TradeItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # as above
        return self._unseen(market, m, recv, market.aggregates.seen)

    def _unseen(self, market: Market, m: Push[TradeItem], recv: int, seen: Callable[[int], bool]) -> Events:
        for t in m.data:
            if not sound_trade(t.px, t.sz):
                raise MalformedFrame(f"price {t.px!r} or amount {t.sz!r} is not a plain decimal above 0")
        events: Events = [
            Trade(
                self.name, market.symbol, t.ts * MILLISECOND, recv, self.source, str(t.tradeId), t.px, t.sz, t.side
            )
            for t in m.data
            if not seen(t.tradeId)
        ]  # fmt: skip
        if len(events) != len(m.data):
            self.duplicates["trade"] += len(m.data) - len(events)
        return events

    def _book(
        self, market: Market, read: tuple[BookMessage, list[Level], list[Level]], recv: int, connection: int
    ) -> Events:
        """Publish a snapshot or an update that follows on the last one, be its `seqId` lower.

        An update without levels says that nothing has changed: it is published too, since the feed is alive.
        """
        m, bids, asks = read
        item, chain = m.data[0], market.book
        ts, prev, last, before = item.ts * MILLISECOND, item.prevSeqId, item.seqId, chain.last_id
        if m.action == "snapshot":
            chain.begin(connection, last)
            return [Book(self.name, market.symbol, ts, recv, self.source, "snapshot", bids, asks, last_id=last)]
        verdict = chain.take(connection, prev, last)
        if verdict == "follows":
            return [Book(self.name, market.symbol, ts, recv, self.source, "delta", bids, asks, None, last, prev)]
        if verdict == "duplicate":
            self.duplicates["book"] += 1
            return []
        self._renew([market.symbol], f"it stands at {before}, the next update follows on {prev}")
        return []

    def _tickers(self, market: Market, m: Push[TickerItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # the newest counts
        stamp, spot, newest = self._stamp(market, recv), market.instrument.kind == "spot", market.newest["ticker"]
        events: Events = []
        for t, event in zip(m.data, [ticker(t, stamp, spot=spot) for t in m.data], strict=True):
            if event.ts is None or newest.outdates(event.ts, recv) or t == market.ticker:
                self.duplicates["ticker"] += 1
                continue
            market.ticker = t
            newest.reach(event.ts, recv)
            events.append(event)
        return events

    def _candles(
        self, market: Market, timeframe: str, m: Push[CandleItem], recv: int, connection: int  # noqa: ARG002 # the newest counts
    ) -> Events:  # fmt: skip
        stamp = self._stamp(market, recv)
        events: Events = []
        for candle in [rest.candle(item, stamp, timeframe) for item in m.data]:
            if market.candles[timeframe].seen(candle.open_ts, Decimal(candle.volume), closed=candle.closed):
                self.duplicates["candle"] += 1
            else:
                events.append(candle)
        return events

    def _funding(self, market: Market, m: Push[FundingItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # as above
        return self._newer(market, "funding", contracts.fundings(m.data, self._stamp(market, recv)))

    def _interest(self, market: Market, m: Push[InterestItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # as above
        dollars = market.instrument.quote == "USD"
        found = contracts.interests(m.data, self._stamp(market, recv), dollars=dollars)
        return self._newer(market, "open_interest", found)

    def _marks(self, market: Market, m: Push[MarkItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # as above
        return self._newer(market, "mark_price", contracts.marks(m.data, self._stamp(market, recv)))

    def _stamp(self, market: Market, recv: int) -> Stamp:
        return Stamp(self.name, market.symbol, recv, self.source)

    def _newer(self, market: Market, channel: str, found: Sequence[Funding | OpenInterest | MarkPrice]) -> Events:
        """Return those that are newer than what was published, and remember the last one as published."""
        events: Events = []
        newest = market.newest[channel]
        for event in found:
            if event.ts is None or newest.repeats(event.ts, event.recv):
                self.duplicates[channel] += 1
            else:
                newest.reach(event.ts, event.recv)
                events.append(event)
        return events

    def _liquidations(self, m: Push[LiquidationItem], recv: int, connection: int) -> Events:  # noqa: ARG002 # as above
        """Read those of all listed instruments. The receive times differ: they tell liquidations apart."""
        for item in m.data:
            check([text for detail in item.details for text in (detail.bkPx, detail.sz)])
        events: Events = []
        for item in m.data:
            if item.instId not in self._natives:  # listed since the last look
                continue
            market = self._market(item.instId)
            for d in item.details:
                if market.liquidations.seen(f"{d.ts}{d.side}{d.sz}@{d.bkPx}"):
                    self.duplicates["liquidation"] += 1
                    continue
                events.append(contracts.liquidation(d, self._stamp(market, recv + len(events))))
        return events

    # answers
    def answer(self, request: Request, body: bytes | str, recv: int) -> Events:  # noqa: ARG002 # lists have no time
        """Take in a list of instruments; what is listed no more stays, not active. Raises MalformedFrame."""
        try:
            found = rest.instruments(body, self.name)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error
        self._listings.take(request.params["instType"], found)
        self._natives |= {instrument.native: instrument.symbol for instrument in found}
        return []

    def failed(self, request: Request) -> None:
        """Say that a request will not be answered: nothing is asked but lists, whose owner asks again."""

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: books start anew, as do those of a connection that is gone.

        Trade ids may begin anew too. What else has been published stays known by its time.
        """
        lost = {(feed.symbol, feed.channel) for feed in feeds}
        for market in self._markets.values():
            if (market.symbol, "book") in lost or market.book.connection == connection:
                market.book.lost()
            if (market.symbol, "trade") in lost:
                market.forget_trades()

    # history
    def history(self, feed: FeedKey, span: Span) -> Request | None:
        """Return the first call for single trades, candles or funding rates; OKX keeps no history of aggregates."""
        instrument = self._listings.find(feed.symbol)
        match feed.channel:
            case "trade" if self.trades_wanted == "each":
                if span.first_id is None or span.last_id is None:
                    return rest.first_trade_request(instrument, span)
                return rest.trades_request(instrument, span, int(span.first_id))
            case "candle":
                return rest.candles_request(instrument, feed.timeframe, span)
            case "funding" if instrument.kind in {"linear", "inverse"}:
                return rest.funding_request(instrument, span)
        return None

    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events. A time span of trades begins with finding its ids."""
        source: Source = "backfill" if self.source == "ws" else self.source
        stamp = Stamp(self.name, request.symbol, recv, source)
        try:
            return rest.page(request, self._listings.find(request.symbol), body, stamp)
        except (MalformedFrame, *_UNDECODABLE) as error:
            raise unreadable(request, error) from error

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        market = self._market(self._listings.find(trade.symbol).native)
        return not market.trades.seen(int(trade.id))

    # REST
    def standing(self, status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:
        """Read status and code."""
        return rest.standing(status, headers, body, now)
