"""Paper trading on the bus: market events and commands in, reports out, each exactly once through every crash.

A batch changes the engine in memory first and is then stored in one transaction: its inputs, its outputs and the rows
that they change. What is not stored was not told either, and comes again; what comes again changes nothing. Outputs
that were stored and perhaps not published are told apart at the start by the number of the last one on the stream.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, Literal

import msgspec
import structlog

from bus import metrics
from bus.clock import SECOND, Clock, SystemClock
from bus.errors import StoreUnavailable
from bus.events import Book, Dead, Event, Feed, MarketEvent, MarkPrice, Quality, Ticker, Trade
from bus.handler import Batch, Handler, StateStore
from bus.paper import PaperCommand
from handlers.paper.service import invariants
from handlers.paper.service.inputs import Input, Listed, Lost, Passed
from handlers.paper.service.journal import TakenOver
from handlers.paper.service.keeper import Keeper
from handlers.paper.service.trading import PaperTrading

log = structlog.get_logger(__name__)

LISTING_PAUSE: Final = 5.0
"""Seconds between two looks for the filters of a symbol that are not known yet."""
BOOK_PAUSE: Final = 30 * SECOND
"""Between two calls for a snapshot of a book that is not known (ns)."""
IDLE_PACE: Final = 0.05
"""Seconds that the market may wait while nobody trades."""
UNKNOWN_BOOK: Final = "unknown_book"
"""Rule of the quality event that asks for a book to start anew from a snapshot."""


class PaperHandler(Handler):
    """Runs paper trading. `newest` gives the last event on the paper stream."""

    name = "paper"
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "book", "ticker", "mark_price"})
    system: ClassVar[bool] = True
    commands: ClassVar[bool] = True
    start_at: ClassVar[Literal["beginning", "now"]] = "now"
    deadline: ClassVar[float] = 60.0

    def __init__(self, dsn: str, newest: Callable[[], Awaitable[Event | None]], clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._keeper = Keeper(dsn, newest, self._clock)
        self._trading: PaperTrading | None = None
        self._look_again: dict[tuple[str, str], float] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._quiet = False

    @property
    def pace(self) -> float:
        """Seconds that it may wait for more: none once there is a portfolio."""
        return 0.0 if self._trading is not None and self._trading.engine.portfolios else IDLE_PACE

    @property
    def settled(self) -> bool:
        """Whether everything that was handed over is stored."""
        return self._trading is not None and self._keeper.settled

    async def start(self, state: StateStore) -> None:  # noqa: ARG002 # its state stands with its rows
        """Come back as it was. Raises StoreUnavailable, BusUnavailable."""
        self._trading = None
        await self._running()

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Take in a batch, and return what came of it once that is stored. Raises StoreUnavailable."""
        trading = await self._running()
        self._quiet = False
        await self._list_new(trading, batch.events)
        try:
            others = [said for event in batch.events if (said := self._digest(trading, event)) is not None]
        except Exception:
            self._trading = None  # the engine stopped half-way: it comes back as it is stored
            raise
        return [*await self._keep(trading), *others] if self._keeper.due(trading) else others

    async def tick(self, now: int) -> Sequence[Event]:
        """Let time pass where nothing else does; what cannot be stored now is stored with the next batch."""
        if self._trading is None:
            return ()
        engine = self._trading.engine
        if self._quiet and (engine.expiries or engine.flight):
            self._take(self._trading, Passed(now))
        self._quiet = True
        invariants.check(engine)
        try:
            return await self._keep(self._trading)
        except StoreUnavailable as error:
            log.warning("paper trading is not stored yet", reason=str(error))
            return ()

    async def close(self) -> None:
        """Store the state as it is and let go of the database."""
        trading, self._trading = self._trading, None
        await self._keeper.close(trading)

    async def _running(self) -> PaperTrading:
        if self._trading is None:
            self._trading = await self._keeper.open()
        return self._trading

    async def _keep(self, trading: PaperTrading) -> Sequence[Event]:
        try:
            return await self._keeper.keep(trading)
        except TakenOver:
            self._trading = None
            raise

    def _digest(self, trading: PaperTrading, event: Event) -> Event | None:
        """Take in what concerns paper trading; return what is to be said of an event itself."""
        if isinstance(event, PaperCommand):
            late = event.expires < self._clock.now()
            self._take(trading, msgspec.structs.replace(event, expires=0) if late else event)
            return None
        if isinstance(event, Feed):
            if event.state in {"stale", "down"}:
                self._take(trading, Lost(event.ts, event.exchange, event.symbol, event.channel))
            return None
        if not isinstance(event, Trade | Book | Ticker | MarkPrice):
            return None
        try:
            self._take(trading, event)
        except ValueError as error:
            self._keeper.note(Passed(event.recv))
            return self._dead(event, error)
        return self._book_wanted(trading, event) if type(event) is Book and event.kind == "delta" else None

    def _take(self, trading: PaperTrading, item: Input) -> None:
        if trading.take(item):
            self._keeper.note(item)

    def _dead(self, event: MarketEvent, error: ValueError) -> Dead:
        metrics.DEAD.labels(self.name).inc()
        identity = f"{self.name}:{event.exchange}:{event.symbol}:{event.recv}"
        return Dead(event.recv, identity, event.exchange, self.name, str(error), msgspec.msgpack.encode(event))

    async def _list_new(self, trading: PaperTrading, events: Sequence[Event]) -> None:
        """Make symbols tradable that are seen for the first time."""
        seen = {(event.exchange, event.symbol) for event in events if isinstance(event, MarketEvent)}
        now = self._clock.monotonic()
        new = [name for name in seen - trading.engine.markets.keys() if self._look_again.get(name, 0.0) <= now]
        if not new:
            return
        found = await self._keeper.instruments(sorted(new))
        for name in new:
            self._look_again[name] = now + LISTING_PAUSE
        for (exchange, _), spec in sorted(found.items()):
            try:
                self._take(trading, Listed(exchange, spec))
            except ValueError as error:
                log.warning("a symbol cannot be traded", exchange=exchange, symbol=spec.symbol, reason=str(error))

    def _book_wanted(self, trading: PaperTrading, event: Book) -> Quality | None:
        """Ask for a snapshot of a book whose changes come and whose beginning was missed."""
        name = (event.exchange, event.symbol)
        market = trading.engine.markets.get(name)
        if market is None or (market.has_book and market.in_sync):
            return None
        if event.recv - self._asked.get(name, 0) < BOOK_PAUSE:
            return None
        self._asked[name] = event.recv
        detail = "paper trading has not seen this book begin"
        return Quality(event.recv, *name, "book", UNKNOWN_BOOK, "info", str(event.last_id or event.recv), detail)
