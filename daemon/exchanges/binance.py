"""Binance spot: trades, best bid and ask, 24-hour statistics, order book and candles.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from collections.abc import Sequence
from typing import ClassVar

from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Side, Ticker, Trade
from daemon.exchanges import binance_rest as rest
from daemon.exchanges.base import Endpoints, FeedKey, Instrument, Limits
from daemon.exchanges.binance_family import BinanceFamily, Events, Handle
from daemon.exchanges.binance_frames import SPOT, Decoders
from daemon.exchanges.binance_messages import (
    BookTickerMessage,
    DayTickerMessage,
    DepthMessage,
    TradeMessage,
    nanoseconds,
)
from daemon.exchanges.decimals import check, is_zero, sound_quote, sound_trade
from daemon.exchanges.symbols import split


class Binance(BinanceFamily):
    """The translator of Binance spot. `trades="aggregate"` subscribes to aggTrade in place of trade."""

    name: ClassVar[str] = "binance"
    example: ClassVar[str] = "BTC/USDT"
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "ticker", "book", "candle"})
    api: ClassVar[rest.Api] = rest.SPOT
    decoders: ClassVar[Decoders] = SPOT
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

    def handlers(self) -> dict[str, Handle]:
        """Return what turns each event type into events."""
        return {
            "trade": self._trade,
            "bookTicker": self._book_ticker,
            "24hrTicker": self._day_ticker,
            "depthUpdate": self._depth,
        }

    def read_instruments(self, body: bytes | str) -> dict[str, Instrument]:
        """Read the list of symbols, by unified symbol."""
        return rest.instruments(body, self.name)

    def spelled(self, symbol: str) -> str | None:
        """Return Binance's name of a symbol by its form alone."""
        return symbol.replace("/", "") if symbol.count("/") == 1 and ":" not in symbol else None

    def named(self, native: str) -> str | None:
        """Return the unified symbol by the form of Binance's name alone."""
        parts = split(native, rest.RENAMED)
        return None if parts is None else "/".join(parts)

    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the names of the streams that make up a feed. Raises ConfigError for a feed that Binance lacks."""
        native = self.native(feed.symbol).lower()
        match feed.channel:
            case "trade":
                return [f"{native}@aggTrade" if self.trades_wanted == "aggregate" else f"{native}@trade"]
            case "ticker":
                return [f"{native}@bookTicker", f"{native}@ticker"]
            case "book":
                return [f"{native}@depth@100ms"]
            case "candle":
                return [self.candle_stream(native, feed.timeframe)]
        raise ConfigError(f"binance has no channel {feed.channel!r}; it has {', '.join(sorted(self.channels))}")

    def url(self, websocket: str, feed: FeedKey) -> str:  # noqa: ARG002 # one URL carries everything
        """Return the URL for combined streams, which are subscribed to by message."""
        return f"{websocket.rstrip('/')}/stream"

    def _trade(self, m: TradeMessage[str, str], recv: int, *, plain: bool = False) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        if not sound_trade(m.p, m.q, plain=plain):
            raise MalformedFrame(f"price {m.p!r} or amount {m.q!r} is not a plain decimal above 0")
        ts = nanoseconds(m.T)
        if market.trades.seen(m.t):
            return self.duplicate("trade")
        side: Side = "sell" if m.m else "buy"
        return [Trade(self.name, market.symbol, ts, recv, self.source, str(m.t), m.p, m.q, side)]

    def _book_ticker(self, m: BookTickerMessage[str, str], recv: int, *, plain: bool = False) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        newest, number = market.quotes, m.u
        sound = sound_quote(m.b, m.B, m.a, m.A, plain=plain)
        bid, bid_size, ask, ask_size = (m.b, m.B, m.a, m.A) if sound else _sides(m)
        if number <= newest.at and newest.repeats(number, recv):
            return self.duplicate("ticker")
        newest.at, newest.recv = number, recv  # `reach` without a call
        return [Ticker(self.name, market.symbol, None, recv, self.source, bid, bid_size, ask, ask_size)]

    def _day_ticker(self, m: DayTickerMessage, recv: int) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        check((), (m.v, m.q))
        bid, bid_size, ask, ask_size = _sides(m)
        idle = is_zero(m.v)  # without a trade in 24 hours prices are sent as 0
        last, opened, high, low = (None if idle and is_zero(price) else price for price in (m.c, m.o, m.h, m.l))
        check([price for price in (last, opened, high, low) if price is not None])
        ts = nanoseconds(m.E)
        if market.days.repeats(ts, recv):
            return self.duplicate("ticker")
        market.days.reach(ts, recv)
        return [
            Ticker(
                self.name, market.symbol, ts, recv, self.source, bid, bid_size, ask, ask_size,
                last, opened, high, low, m.v, m.q,
            )
        ]  # fmt: skip

    def _depth(self, m: DepthMessage, recv: int) -> Events:
        market = self.markets.get(m.s) or self.met(m.s)
        if m.u < m.U:
            raise MalformedFrame(f"depth update ends at {m.u}, before it begins at {m.U}")
        ts, book = nanoseconds(m.E), market.book
        before = book.last_id
        events: Events = [
            *book.delta(Book(self.name, market.symbol, ts, recv, self.source, "delta", m.b, m.a, m.U, m.u, before))
        ]
        if not events and before is not None:
            if book.last_id is not None:
                return self.duplicate("book")
            self.resyncs += 1
        return events


def _sides(m: BookTickerMessage[str, str] | DayTickerMessage) -> tuple[str | None, str | None, str | None, str | None]:
    """Return best bid and ask with sizes; a side that is 0 in both is empty. Raises MalformedFrame."""
    return *_side(m.b, m.B), *_side(m.a, m.A)


def _side(price: str, size: str) -> tuple[str | None, str | None]:
    if is_zero(price) and is_zero(size):
        check((), (price, size))
        return None, None
    check((price,), (size,))
    return price, size
