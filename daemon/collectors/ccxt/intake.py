"""Where ccxt's structures become events: stamps, translates, drops what came before, sets aside what is malformed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from bus import metrics
from bus.clock import Clock
from bus.errors import MalformedFrame
from bus.events import AnyMarketEvent, Dead, Event, Source
from daemon.collectors.board import FeedBoard
from daemon.collectors.ccxt import translate
from daemon.collectors.ccxt.memory import Memory
from daemon.collectors.ccxt.translate import Origin
from daemon.collectors.intake import PAYLOAD_KEPT, public_url
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey

BATCH: Final = 512
"""Events and dead letters that may wait; with more the sockets are not read until the bus has taken them."""
_OHLCV: Final = 6
_SINGLE: Final[Mapping[str, tuple[Callable[[str, Any, Origin], AnyMarketEvent], tuple[str, ...]]]] = {
    "ticker": (translate.ticker, ("symbol",)),
    "funding": (translate.funding, ("fundingRate", "nextFundingRate")),
    "mark_price": (translate.mark_price, ("markPrice",)),
    "open_interest": (translate.open_interest, ("openInterestAmount",)),
}
"""Channels of which ccxt gives one structure at a time, and keys of which it has one."""


class CcxtIntake:
    """The one place of a ccxt collector that turns data into events. Events wait here until `flush`."""

    def __init__(self, exchange: str, board: FeedBoard, outbox: Outbox, clock: Clock) -> None:
        self._exchange = exchange
        self._board = board
        self._outbox = outbox
        self._clock = clock
        self.memory = Memory()
        self.failures = 0
        """How often something could not be read."""
        self._origin = Origin(exchange, 0, "ws")
        self._where = ""
        self._raw: bytes | str = b""
        self._events: list[AnyMarketEvent] = []
        self._dead: list[Dead] = []
        self._several: Mapping[str, Callable[[FeedKey, Sequence[Any]], None]] = {
            "trade": self._trades, "liquidation": self._liquidations, "candle": self._candles, "book": self._books,
        }  # fmt: skip
        self._wake = asyncio.Event()
        self._frames = metrics.FRAMES_RECEIVED.labels(exchange, "ws")
        self._answers = metrics.FRAMES_RECEIVED.labels(exchange, "rest")

    # what came, before it is translated

    def frame(self, raw: bytes | str, url: str) -> None:
        """Take note of a frame that ccxt is about to read."""
        self._note(raw, url, "ws")
        self._frames.inc()

    def answer(self, raw: str, url: str) -> None:
        """Take note of the answer to a poll, which `take` gets next."""
        self._note(raw, url, "rest")
        self._answers.inc()

    def page(self, raw: str, url: str) -> Origin:
        """Take note of a page of history; return the origin of its events."""
        self._note(raw, url, "ws")
        self._answers.inc()
        return self._origin._replace(source="backfill")

    def _note(self, raw: bytes | str, url: str, source: Source) -> None:
        recv = max(self._origin.recv + 1, self._clock.now())  # strictly rising per exchange: it identifies events
        self._origin = Origin(self._exchange, recv, source)
        self._raw, self._where = raw, url

    def failed(self, reason: str) -> None:
        """Set the frame or answer that was noted last aside: it could not be read."""
        self.failures += 1
        metrics.FRAMES_MALFORMED.labels(self._exchange).inc()
        metrics.DEAD.labels("parse").inc()
        raw = self._raw.encode(errors="replace") if isinstance(self._raw, str) else self._raw
        recv = self._origin.recv
        name = f"parse:{self._exchange}:{recv}:{len(self._dead)}"
        self._dead.append(Dead(recv, name, public_url(self._where), "parse", reason, raw[:PAYLOAD_KEPT]))
        self._wake.set()

    # translating

    def take(self, feed: FeedKey, data: Any) -> bool:
        """Turn what ccxt has for a feed into events; False when it is nothing that this feed consists of."""
        try:
            found = _parts(feed, data)
            if found is None:
                return False
            self._several.get(feed.channel, self._single)(feed, found)
        except MalformedFrame as error:
            self.failed(str(error))
        except Exception as error:  # noqa: BLE001 # a fault in reading one message must not end the connection
            self.failed(f"not as expected: {error!r}"[:500])
        self._origin = self._origin._replace(source="ws")  # ccxt.pro delivers books it asked for by REST too
        self._wake.set()
        return True

    def _add(self, event: AnyMarketEvent) -> None:
        """Let an event wait for the bus. The next one gets another time of receipt: some have no other identity."""
        self._events.append(event)
        self._origin = self._origin._replace(recv=self._origin.recv + 1)

    def _each(self, parts: Iterable[Any], do: Callable[[Any], object]) -> None:
        """Do something with each part; one that is malformed costs itself alone."""
        for part in parts:
            try:
                do(part)
            except (MalformedFrame, LookupError, TypeError, ValueError) as error:
                self.failed(str(error) if isinstance(error, MalformedFrame) else f"not as expected: {error!r}")

    def _trades(self, feed: FeedKey, trades: Sequence[dict[str, Any]]) -> None:
        memory = self.memory.trades(feed.symbol)

        def take(data: dict[str, Any]) -> None:
            event = translate.trade(feed.symbol, data, self._origin, "" if data.get("id") else memory.name(data))
            if memory.fresh(event):
                self._add(event)
            else:
                metrics.DUPLICATES.labels(self._exchange, "trade").inc()

        self._each(trades, take)

    def _liquidations(self, feed: FeedKey, found: Sequence[dict[str, Any]]) -> None:
        self._each(found, lambda one: self._add(translate.liquidation(feed.symbol, one, self._origin)))

    def _candles(self, feed: FeedKey, rows: Sequence[Sequence[Any]]) -> None:
        sound = [row for row in rows if isinstance(row, list) and len(row) >= _OHLCV and type(row[0]) is int]
        if len(sound) < len(rows):
            self.failed("a candle without its time and five values")
        news = self.memory.candles(feed).changed(sound)
        self._each(news, lambda one: self._add(translate.candle(feed, one[0], self._origin, closed=one[1])))

    def _books(self, feed: FeedKey, found: Sequence[Any]) -> None:
        for book in found:
            event = self.memory.book(feed.symbol).event(feed.symbol, book, self._origin)
            if event is not None:
                self._add(event)

    def _single(self, feed: FeedKey, found: Sequence[Any]) -> None:
        for one in found:
            self._add(_SINGLE[feed.channel][0](feed.symbol, one, self._origin))

    # onto the bus

    async def run(self) -> None:
        """Publish what was taken until cancelled."""
        while True:
            await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Publish what waits. Raises BusUnavailable."""
        self._wake.clear()
        events: list[Event] = [*self._events, *self._dead]
        if self._events:
            self._board.seen(self._events)
        self._events.clear()
        self._dead.clear()
        await self._outbox.publish(events)

    async def room(self) -> None:
        """Wait while too much waits: then the sockets are not read."""
        if len(self._events) + len(self._dead) >= BATCH:
            await self.flush()


def _parts(feed: FeedKey, data: Any) -> Sequence[Any] | None:
    """Return what of a result belongs to a feed, taken out of ccxt's cache; None when it is something else."""
    match feed.channel:
        case "trade" | "liquidation":
            return _listed(feed, data)
        case "candle":
            return _rows(feed, data)
        case "book":
            return _one(feed, data, ("bids",))
    one = data.get(feed.symbol, data) if isinstance(data, dict) else None
    return _one(feed, one, _SINGLE[feed.channel][1])


def _is_of(feed: FeedKey, one: Mapping[str, Any]) -> bool:
    return one.get("symbol") is None or one["symbol"] == feed.symbol


def _one(feed: FeedKey, one: Any, keys: Iterable[str]) -> list[Any] | None:
    """Return a structure that has one of the keys, nothing where it is another symbol's."""
    if not isinstance(one, dict) or all(one.get(key) is None for key in keys):
        return None
    return [one] if _is_of(feed, one) else []


def _listed(feed: FeedKey, data: Any) -> list[Any] | None:
    if isinstance(data, dict) and "price" in data:
        data = [data]
    if not isinstance(data, list):
        return None
    found = [one for one in data if isinstance(one, dict) and _is_of(feed, one)]
    if not hasattr(data, "getLimit"):
        return found
    if len(found) == len(data):
        data.clear()
        return found
    news = data.getLimit(feed.symbol, None) or 0  # a cache that symbols share keeps what it has
    return found[-news:] if news else []


def _rows(feed: FeedKey, data: Any) -> Sequence[Any] | None:
    if isinstance(data, dict):
        data = data.get(feed.symbol, {}).get(feed.timeframe)
    elif isinstance(data, list) and len(data) == 3 and data[0] == feed.symbol:  # noqa: PLR2004 # symbol, timeframe, rows
        data = data[2]
    if not isinstance(data, list):
        return None
    if not hasattr(data, "getLimit"):
        return data
    count = data.getLimit(None, None)
    return data[-count:] if count else []
