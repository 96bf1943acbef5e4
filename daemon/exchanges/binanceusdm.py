"""Binance USD-M futures: trades, prices, order book, candles, mark price, funding, open interest, liquidations.

https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final, Literal

import msgspec

from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Funding, Liquidation, MarkPrice, OpenInterest, Quality, Side, Source, Ticker, Trade
from daemon.exchanges import binanceusdm_messages as messages
from daemon.exchanges.base import Endpoints, FeedKey, Instrument, Limits, Request
from daemon.exchanges.binance_family import BinanceFamily, Events, Handle
from daemon.exchanges.binance_frames import Decoders
from daemon.exchanges.binance_messages import AggregateTradeMessage, KlineMessage, nanoseconds
from daemon.exchanges.binance_rest import RENAMED, Api, renamed
from daemon.exchanges.decimals import check, is_zero, sound_quote, sound_trade
from daemon.exchanges.duplicates import Newest
from daemon.exchanges.symbols import split

_PERPETUAL: Final = 4_000_000_000_000
"""Delivery dates beyond it (year 2096), in ms, mean that there is none."""
_LIQUIDATIONS_REMEMBERED: Final = 64

_contracts = msgspec.json.Decoder(messages.ExchangeInfoAnswer)
_open_interest = msgspec.json.Decoder(messages.OpenInterestAnswer)


class _Memory:
    """What was published last of one contract's own channels."""

    def __init__(self) -> None:
        self.marks = Newest()
        self.open_interest = -1
        self.funding: tuple[str, int | None] | None = None
        self.liquidations: deque[messages.ForcedOrder] = deque(maxlen=_LIQUIDATIONS_REMEMBERED)


class BinanceUsdm(BinanceFamily):
    """The translator of Binance USD-M futures.

    Trades are the aggregates whatever `trades` says: single ones are in no documented stream, and asking for them
    later needs a key, so that a gap in them could never be healed. Recordings of them are understood all the same.
    """

    name: ClassVar[str] = "binanceusdm"
    example: ClassVar[str] = "BTC/USDT:USDT"
    channels: ClassVar[frozenset[str]] = frozenset(
        {"trade", "ticker", "book", "candle", "mark_price", "funding", "open_interest", "liquidation"}
    )
    polled: ClassVar[frozenset[str]] = frozenset({"open_interest"})
    bundled: ClassVar[frozenset[type]] = frozenset({MarkPrice, Funding})
    linked: ClassVar[bool] = True
    # "Market Data Endpoints": weights of exchangeInfo, depth, trades, aggTrades, klines, ticker/24hr.
    api: ClassVar[Api] = Api("/fapi/v1", 1, 20, 200, 20, 5, 40)
    decoders: ClassVar[Decoders] = Decoders(
        {
            "24hrTicker": messages.DayTickerMessage,
            "depthUpdate": messages.DepthMessage,
            "kline": KlineMessage,
            "markPriceUpdate": messages.MarkPriceMessage,
            "forceOrder": messages.ForceOrderMessage,
        },
        {
            "trade": messages.TradeMessage,
            "aggTrade": AggregateTradeMessage,
            "bookTicker": messages.BookTickerMessage,
        },
    )
    endpoints: ClassVar[Endpoints] = Endpoints("https://fapi.binance.com", "wss://fstream.binance.com")
    # "Connect": a ping every 3 minutes, 10 messages a second, 1024 streams; "IP Limits": weight 2400 a minute.
    limits: ClassVar[Limits] = Limits(
        feeds_per_connection=1024,
        streams_per_message=200,
        message_interval=0.125,
        connects_per_minute=60,
        lifetime=24 * 3600,
        ping_interval=None,
        silence=200,
        weight=2400,
    )

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "aggregate") -> None:  # noqa: ARG002 # see above
        super().__init__(source, "aggregate")
        self._memories: dict[str, _Memory] = {}

    def handlers(self) -> dict[str, Handle]:
        """Return what turns each event type into events."""
        return {
            "trade": self._trade,
            "bookTicker": self._book_ticker,
            "24hrTicker": self._day_ticker,
            "depthUpdate": self._depth,
            "markPriceUpdate": self._mark_price,
            "forceOrder": self._liquidation,
        }

    # symbols
    def read_instruments(self, body: bytes | str) -> dict[str, Instrument]:
        """Read the list of contracts, by unified symbol."""
        found = [self._instrument(answer) for answer in _contracts.decode(body).symbols]
        return {instrument.symbol: instrument for instrument in found}

    def _instrument(self, answer: messages.ContractAnswer) -> Instrument:
        base, quote, margin = map(renamed, (answer.baseAsset, answer.quoteAsset, answer.marginAsset))
        dated = answer.deliveryDate < _PERPETUAL and "PERPETUAL" not in answer.contractType
        symbol = f"{base}/{quote}:{margin}"
        if dated:
            symbol += datetime.fromtimestamp(answer.deliveryDate / 1000, UTC).strftime("-%y%m%d")
        rules = {rule.filterType: rule for rule in answer.filters}
        price, lot, notional = rules.get("PRICE_FILTER"), rules.get("LOT_SIZE"), rules.get("MIN_NOTIONAL")
        return Instrument(
            exchange=self.name,
            symbol=symbol,
            native=answer.symbol,
            base=base,
            quote=quote,
            kind="future" if dated else "linear",
            active=answer.status == "TRADING",
            tick_size=price.tickSize if price else None,
            lot_size=lot.stepSize if lot else None,
            min_amount=lot.minQty if lot else None,
            min_notional=notional.notional if notional else None,
            contract_size="1",
        )

    def spelled(self, symbol: str) -> str | None:
        """Return Binance's name of a symbol by its form alone: BTCUSDT, or BTCUSDT_240927 for a dated one."""
        pair, _, settled = symbol.partition(":")
        if pair.count("/") != 1 or not settled:
            return None
        _, dash, date = settled.partition("-")
        return pair.replace("/", "") + (f"_{date}" if dash else "")

    def named(self, native: str) -> str | None:
        """Return the unified symbol by the form of Binance's name alone."""
        pair, _, date = native.partition("_")
        parts = split(pair, RENAMED)
        if parts is None or (date and not date.isdecimal()):
            return None
        return f"{parts[0]}/{parts[1]}:{parts[1]}" + (f"-{date}" if date else "")

    # subscribing
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the names of the streams that make up a feed. Raises ConfigError for a feed that Binance lacks."""
        native = self.native(feed.symbol).lower()
        match feed.channel:
            case "trade":
                return [f"{native}@aggTrade"]
            case "ticker":
                return [f"{native}@bookTicker"]
            case "book":
                return [f"{native}@depth@100ms"]
            case "candle":
                return [self.candle_stream(native, feed.timeframe)]
            case "funding" if "_" in native:
                raise ConfigError(f"{feed.symbol} is a dated future: it has no funding")
            case "mark_price" | "funding":
                return [f"{native}@markPrice@1s"]
            case "liquidation":
                return [f"{native}@forceOrder"]
        raise ConfigError(f"binanceusdm has no channel {feed.channel!r}; it has {', '.join(sorted(self.channels))}")

    def url(self, websocket: str, feed: FeedKey) -> str:
        """Return the URL that has a feed's streams: books and best prices under /public, the others under /market.

        "Important WebSocket Change Notice" of 2026: the old URL connects, but delivers nothing any more.
        """
        path = "public" if feed.channel in {"book", "ticker"} else "market"
        return f"{websocket.rstrip('/')}/{path}/stream"

    # data
    def _trade(self, m: messages.TradeMessage[str, str], recv: int, *, plain: bool = False) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        ts = nanoseconds(m.T)
        if m.X != "MARKET":
            check((), (m.p, m.q))
            if market.trades.seen(m.t):
                return self.duplicate("trade")
            return [
                Quality(
                    ts, self.name, market.symbol, "trade", "not_a_trade", "info", str(m.t),
                    f"a fill of the kind {m.X[:20]} has used up this trade id",
                )
            ]  # fmt: skip
        if not sound_trade(m.p, m.q, plain=plain):
            raise MalformedFrame(f"price {m.p!r} or amount {m.q!r} is not a plain decimal above 0")
        if market.trades.seen(m.t):
            return self.duplicate("trade")
        side: Side = "sell" if m.m else "buy"
        return [Trade(self.name, market.symbol, ts, recv, self.source, str(m.t), m.p, m.q, side)]

    def _book_ticker(self, m: messages.BookTickerMessage[str, str], recv: int, *, plain: bool = False) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        newest, number = market.quotes, m.u
        if not sound_quote(m.b, m.B, m.a, m.A, plain=plain):
            raise MalformedFrame(f"bid {m.b!r} {m.B!r} or ask {m.a!r} {m.A!r} is not a plain decimal")
        if number <= newest.at and newest.repeats(number, recv):
            return self.duplicate("ticker")
        ts = nanoseconds(m.E)
        newest.at, newest.recv = number, recv  # `reach` without a call
        return [Ticker(self.name, market.symbol, ts, recv, self.source, m.b, m.B, m.a, m.A)]

    def _day_ticker(self, m: messages.DayTickerMessage, recv: int) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        check((m.c, m.o, m.h, m.l), (m.v, m.q))
        ts = nanoseconds(m.E)
        if market.days.repeats(ts, recv):
            return self.duplicate("ticker")
        market.days.reach(ts, recv)
        return [
            Ticker(
                self.name, market.symbol, ts, recv, self.source, last=m.c, open=m.o, high=m.h, low=m.l, volume=m.v,
                quote_volume=m.q,
            )
        ]  # fmt: skip

    def _depth(self, m: messages.DepthMessage, recv: int) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        if m.u < m.U or m.u < m.pu:
            raise MalformedFrame(f"depth update ends at {m.u}, before it begins at {m.U} or follows on {m.pu}")
        ts, book = nanoseconds(m.E), market.book
        before = book.last_id
        events: Events = [
            *book.delta(Book(self.name, market.symbol, ts, recv, self.source, "delta", m.b, m.a, m.U, m.u, m.pu))
        ]
        if not events and before is not None:
            if book.last_id is not None:
                return self.duplicate("book")
            self.resyncs += 1
        return events

    def _mark_price(self, m: messages.MarkPriceMessage, recv: int) -> Events:
        market, memory = self.markets.get(m.s) or self.met(m.s), self._memory(m.s)
        check((m.p, m.i))
        ts = nanoseconds(m.E)
        if memory.marks.repeats(ts, recv):
            return self.duplicate("mark_price")
        memory.marks.reach(ts, recv)
        events: Events = [MarkPrice(self.name, market.symbol, ts, recv, self.source, m.p, m.i)]
        if m.r:
            check((), (m.r.removeprefix("-"),))
            funding = m.r, nanoseconds(m.T) if m.T > 0 else None
            if funding != memory.funding:
                memory.funding = funding
                events.append(Funding(self.name, market.symbol, ts, recv, self.source, *funding))
        return events

    def _liquidation(self, m: messages.ForceOrderMessage, recv: int) -> Events:
        order = m.o
        market, memory = self.markets.get(order.s) or self.met(order.s), self._memory(order.s)
        price = order.p if is_zero(order.ap) else order.ap
        check((price, order.z))
        if order in memory.liquidations:
            return self.duplicate("liquidation")
        memory.liquidations.append(order)
        side: Side = "sell" if order.S == "SELL" else "buy"
        return [
            Liquidation(
                self.name, market.symbol, nanoseconds(order.T), recv, self.source, None, side, price, order.z
            )
        ]  # fmt: skip

    def _memory(self, native: str) -> _Memory:
        memory = self._memories.get(native)
        if memory is None:
            memory = self._memories[native] = _Memory()
        return memory

    # polling
    def polls(self, feed: FeedKey) -> Request | None:
        """Return the call for open interest, "Open Interest": weight 1."""
        if feed.channel != "open_interest":
            return None
        native = self.native(feed.symbol)
        return Request("open_interest", f"{self.api.root}/openInterest", {"symbol": native}, 1, feed.symbol)

    def read_answer(self, request: Request, body: bytes | str, recv: int) -> Events:
        """Turn the answer to a request into events; a poll that says nothing new gives none."""
        if request.kind != "open_interest":
            return super().read_answer(request, body, recv)
        answer = _open_interest.decode(body)
        check((), (answer.openInterest,))
        market, memory = self.market(answer.symbol), self._memory(answer.symbol)
        if answer.time <= memory.open_interest:
            return self.duplicate("open_interest")
        memory.open_interest = answer.time
        live: Source = "rest" if self.source == "ws" else self.source
        ts = nanoseconds(answer.time)
        return [OpenInterest(self.name, market.symbol, ts, recv, live, answer.openInterest)]

    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: a funding rate is told again, even an unchanged one."""
        super().lost(feeds, connection)
        for feed in feeds:
            if feed.channel == "funding":
                self._memory(self.native(feed.symbol)).funding = None
