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
from bus.events import Book, Dead, Event, MarketEvent, MarkPrice, Quality, Ticker, Trade
from bus.handler import Batch, Handler, StateStore
from bus.paper import AnyPaperEvent, EquityReport, FillReport, PaperCommand, PaperEvent, PaperReply
from handlers.paper.service import inputs, invariants
from handlers.paper.service.inputs import Input, Listed, Passed
from handlers.paper.service.journal import Batch as Journalled
from handlers.paper.service.journal import Journal, Kept, TakenOver
from handlers.paper.service.rows import changes_of
from handlers.paper.service.trading import PaperTrading

log = structlog.get_logger(__name__)

SNAPSHOT_INPUTS: Final = 10_000
"""Inputs after which the state is stored whole, so that a start has no more than these to go through again."""
LISTING_PAUSE: Final = 5.0
"""Seconds between two looks for the filters of a symbol that are not known yet."""
BOOK_PAUSE: Final = 30 * SECOND
"""Between two calls for a snapshot of a book that is not known (ns)."""
UNKNOWN_BOOK: Final = "unknown_book"
"""Rule of the quality event that asks for a book to start anew from a snapshot."""


class PaperHandler(Handler):
    """Runs paper trading. `newest` gives the last event on the paper stream."""

    name = "paper"
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "book", "ticker", "mark_price"})
    commands: ClassVar[bool] = True
    start_at: ClassVar[Literal["beginning", "now"]] = "now"
    deadline: ClassVar[float] = 60.0

    def __init__(self, dsn: str, newest: Callable[[], Awaitable[Event | None]], clock: Clock | None = None) -> None:
        self._journal = Journal(dsn)
        self._newest = newest
        self._clock = clock or SystemClock()
        self._trading: PaperTrading | None = None
        self._batch = 0
        self._pending: list[Input] = []
        self._inputs = 0
        """Inputs journalled since the last snapshot."""
        self._journalling = False
        self._published = 0
        self._unpublished: list[AnyPaperEvent] = []
        self._look_again: dict[tuple[str, str], float] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._quiet = False

    async def start(self, state: StateStore) -> None:  # noqa: ARG002 # its state stands with its rows
        """Come back as it was. Raises StoreUnavailable, BusUnavailable."""
        self._trading = None
        await self._running()

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Take in a batch, store it, and return what came of it. Raises StoreUnavailable."""
        trading = await self._running()
        self._quiet = False
        await self._list_new(trading, batch.events)
        try:
            others = [said for event in batch.events if (said := self._digest(trading, event)) is not None]
        except Exception:
            self._trading = None  # the engine stopped half-way: it comes back as it is stored
            raise
        return [*await self._commit(trading), *others]

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
            return await self._commit(self._trading)
        except StoreUnavailable as error:
            log.warning("paper trading is not stored yet", reason=str(error))
            return ()

    async def close(self) -> None:
        """Let go of the database."""
        await self._journal.close()

    # coming back

    async def _running(self) -> PaperTrading:
        if self._trading is None:
            kept = await self._journal.open()
            newest = await self._newest()
            started = self._clock.monotonic()
            trading = self._restored(kept)
            # what the stream has lost since is told again, as far as it is kept
            self._published = newest.seq if isinstance(newest, PaperEvent) else kept.published
            told = [event for batch in kept.batches for event in inputs.decode_outputs(batch.outputs)]
            self._unpublished = [event for event in told if event.seq > self._published]
            self._batch = kept.batch
            self._pending = []
            self._journalling = bool(trading.engine.portfolios)
            self._trading = trading
            seconds = self._clock.monotonic() - started
            metrics.PAPER_RECOVERY.set(seconds)
            log.info("paper trading runs", portfolios=len(trading.engine.portfolios), inputs=self._inputs,
                     unpublished=len(self._unpublished), seconds=round(seconds, 3))  # fmt: skip
        return self._trading

    def _restored(self, kept: Kept) -> PaperTrading:
        """Return the stored state with what was journalled since, and make sure that it comes out the same again."""
        trading = PaperTrading.load(kept.state) if kept.state else PaperTrading()
        self._inputs = 0
        for batch in kept.batches:
            if batch.number <= kept.snapshot_batch:
                continue
            for item in inputs.decode_inputs(batch.inputs):
                trading.take(item)
                self._inputs += 1
            if inputs.encode(trading.outputs) != batch.outputs:
                metrics.PAPER_VIOLATIONS.labels("replay").inc()
                log.error("paper trading comes out otherwise than before", batch=batch.number)
            trading.outputs.clear()
        return trading

    # going on

    def _digest(self, trading: PaperTrading, event: Event) -> Event | None:
        """Take in what concerns paper trading; return what is to be said of an event itself."""
        if isinstance(event, PaperCommand):
            late = event.expires < self._clock.now()
            self._take(trading, msgspec.structs.replace(event, expires=0) if late else event)
            return None
        if not isinstance(event, Trade | Book | Ticker | MarkPrice):
            return None
        try:
            self._take(trading, event)
        except ValueError as error:
            self._pending.append(Passed(event.recv))
            return self._dead(event, error)
        return self._book_wanted(trading, event) if type(event) is Book and event.kind == "delta" else None

    def _take(self, trading: PaperTrading, item: Input) -> None:
        if trading.take(item):
            self._pending.append(item)

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
        found = await self._journal.instruments(sorted(new))
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

    async def _commit(self, trading: PaperTrading) -> Sequence[Event]:
        """Store what is pending; return what is to be published."""
        if trading.outputs or (self._pending and trading.engine.portfolios):
            await self._store(trading)
        self._pending.clear()
        told, self._unpublished = self._unpublished, []
        return told

    async def _store(self, trading: PaperTrading) -> None:
        """Store a batch; whole, when the journal has grown long or begins or ends with it."""
        trades = bool(trading.engine.portfolios)
        whole = trades != self._journalling or not trades or self._inputs + len(self._pending) > SNAPSHOT_INPUTS
        outputs = list(trading.outputs)
        state = None
        if whole:
            state = trading.dump()
        taken = inputs.encode([] if whole else self._pending)
        batch = Journalled(self._batch + 1, taken, inputs.encode(outputs), trading.seq)
        try:
            await self._journal.append(
                batch, self._published, changes_of(outputs), _statistics(trading, outputs), state
            )
        except TakenOver:
            self._trading = None
            raise
        self._batch += 1
        self._journalling = trades
        self._inputs = 0 if whole else self._inputs + len(self._pending)
        if outputs:
            self._published = outputs[0].seq - 1
            trading.outputs.clear()
        self._unpublished += outputs
        _count(trading, outputs)


def _statistics(trading: PaperTrading, outputs: Sequence[AnyPaperEvent]) -> dict[str, dict[str, object]]:
    """Return how the portfolios do whose equity was noted."""
    names = {output.portfolio for output in outputs if type(output) is EquityReport}
    found = {name: trading.engine.portfolios[name] for name in sorted(names) if name in trading.engine.portfolios}
    return {name: msgspec.structs.asdict(portfolio.statistics()) for name, portfolio in found.items()}


def _count(trading: PaperTrading, outputs: Sequence[AnyPaperEvent]) -> None:
    portfolios = trading.engine.portfolios.values()
    metrics.PAPER_OPEN_ORDERS.set(sum(len(portfolio.open) for portfolio in portfolios))
    metrics.PAPER_HALTED.set(sum(portfolio.halted is not None for portfolio in portfolios))
    metrics.PAPER_FILLS.inc(sum(type(output) is FillReport for output in outputs))
    replies = [output for output in outputs if type(output) is PaperReply]
    metrics.PAPER_COMMANDS.labels("done").inc(sum(not reply.code for reply in replies))
    metrics.PAPER_COMMANDS.labels("declined").inc(sum(bool(reply.code) for reply in replies))
