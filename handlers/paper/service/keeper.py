"""Keeps paper trading over crashes: what is journalled when, the state stored whole, what is still to be told."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import StoreUnavailable
from bus.events import Event
from bus.paper import AnyPaperEvent, EquityReport, FillReport, PaperEvent, PaperReply
from handlers.paper.instrument import InstrumentSpec
from handlers.paper.service import inputs
from handlers.paper.service.inputs import Input
from handlers.paper.service.journal import Batch, Journal, Kept
from handlers.paper.service.rows import Changes, changes_of
from handlers.paper.service.trading import PaperTrading

log = structlog.get_logger(__name__)

SNAPSHOT_INPUTS: Final = 10_000
"""Inputs after which the state is stored whole, so that a start has no more than these to go through again."""
PENDING_INPUTS: Final = 2_000
PENDING_SECONDS: Final = 0.25
"""How many inputs, and how long, may wait to be journalled while they give rise to nothing that is told."""


class _Underway(msgspec.Struct):
    """A batch on its way into the database, the same however often it takes."""

    batch: Batch
    taken: list[Input]
    outputs: list[AnyPaperEvent]
    inputs: int
    changes: Changes
    statistics: dict[str, dict[str, Any]]
    state: bytes | None
    journalling: bool


class Keeper:
    """Owns the journal of one paper trading. `newest` gives the last event on the paper stream."""

    def __init__(self, dsn: str, newest: Callable[[], Awaitable[Event | None]], clock: Clock) -> None:
        self._journal = Journal(dsn)
        self._newest = newest
        self._clock = clock
        self._batch = 0
        self._pending: list[Input] = []
        self._kept_at = 0.0
        self._underway: _Underway | None = None
        self._journalling = False
        self._published = 0
        self._untold: list[AnyPaperEvent] = []
        self.inputs = 0
        """Inputs journalled since the last snapshot."""

    @property
    def settled(self) -> bool:
        """Whether everything that was taken in is stored."""
        return not self._pending and self._underway is None

    async def open(self) -> PaperTrading:
        """Take over, and return paper trading as it was stored, with what was taken in here since.

        Raises StoreUnavailable, BusUnavailable.
        """
        unstored = [*(self._underway.taken if self._underway else ()), *self._pending]
        kept = await self._journal.open()
        newest = await self._newest()
        started = self._clock.monotonic()
        trading = self._restored(kept)
        # what the stream has lost since is told again, as far as it is kept
        self._published = newest.seq if isinstance(newest, PaperEvent) else kept.published
        told = [event for batch in kept.batches for event in inputs.decode_outputs(batch.outputs)]
        self._untold = [event for event in told if event.seq > self._published]
        self._batch = kept.batch
        self._pending, self._underway = [], None
        self._journalling = bool(trading.engine.portfolios)
        for item in unstored:
            if trading.take(item):
                self.note(item)
        seconds = self._clock.monotonic() - started
        metrics.PAPER_RECOVERY.set(seconds)
        log.info("paper trading runs", portfolios=len(trading.engine.portfolios), inputs=self.inputs,
                 untold=len(self._untold), seconds=round(seconds, 3))  # fmt: skip
        return trading

    def _restored(self, kept: Kept) -> PaperTrading:
        """Return the stored state with what was journalled since, and make sure that it comes out the same again."""
        trading = PaperTrading.load(kept.state) if kept.state else PaperTrading()
        self.inputs = 0
        for batch in kept.batches:
            if batch.number <= kept.snapshot_batch:
                continue
            for item in inputs.decode_inputs(batch.inputs):
                trading.take(item)
                self.inputs += 1
            if inputs.encode(trading.outputs) != batch.outputs:
                metrics.PAPER_VIOLATIONS.labels("replay").inc()
                log.error("paper trading comes out otherwise than before", batch=batch.number)
            trading.outputs.clear()
        return trading

    def note(self, item: Input) -> None:
        """An input was taken in."""
        self._pending.append(item)

    def due(self, trading: PaperTrading) -> bool:
        """Whether it is time to store: something is to be told, or enough has come together."""
        return (
            bool(trading.outputs or self._untold or self._underway)
            or not trading.engine.portfolios
            or len(self._pending) >= PENDING_INPUTS
            or self._clock.monotonic() - self._kept_at >= PENDING_SECONDS
        )

    async def keep(self, trading: PaperTrading) -> Sequence[Event]:
        """Store everything; return what is to be published. Raises StoreUnavailable, TakenOver."""
        await self._finish()
        if trading.outputs or (self._pending and trading.engine.portfolios):
            self._underway = self._begin(trading, whole=self.inputs + len(self._pending) > SNAPSHOT_INPUTS)
            await self._finish()
            _count(trading)
        self._pending.clear()
        self._kept_at = self._clock.monotonic()
        told, self._untold = self._untold, []
        return told

    def _begin(self, trading: PaperTrading, *, whole: bool) -> _Underway:
        """Take what is pending; the state is stored whole if so wanted, and when the journal begins or ends."""
        trades = bool(trading.engine.portfolios)
        whole = whole or trades != self._journalling or not trades
        outputs, pending = list(trading.outputs), list(self._pending)
        trading.outputs.clear()
        self._pending.clear()
        return _Underway(
            Batch(self._batch + 1, inputs.encode([] if whole else pending), inputs.encode(outputs), trading.seq),
            pending,
            outputs,
            0 if whole else self.inputs + len(pending),
            changes_of(outputs),
            _statistics(trading, outputs),
            trading.dump() if whole else None,
            trades,
        )

    async def _finish(self) -> None:
        """See the batch under way stored."""
        if self._underway is None:
            return
        now = self._underway
        await self._journal.append(now.batch, self._published, now.changes, now.statistics, now.state)
        self._underway = None
        self._batch = now.batch.number
        self._journalling = now.journalling
        self.inputs = now.inputs
        if now.outputs:
            self._published = now.outputs[0].seq - 1
            self._untold += now.outputs
            metrics.PAPER_FILLS.inc(sum(type(output) is FillReport for output in now.outputs))
            for output in now.outputs:
                if type(output) is PaperReply:
                    metrics.PAPER_COMMANDS.labels("declined" if output.code else "done").inc()

    async def instruments(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], InstrumentSpec]:
        """Return what is stored of symbols; see `Journal.instruments`."""
        return await self._journal.instruments(names)

    async def close(self, trading: PaperTrading | None) -> None:
        """Store the state whole, so that the next start, maybe of another version, has no journal to go through."""
        try:
            if trading is not None and (trading.engine.portfolios or trading.outputs):
                await self._finish()
                self._underway = self._begin(trading, whole=True)
                await self._finish()
        except StoreUnavailable as error:
            log.warning("paper trading ends without a snapshot, its journal is enough", reason=str(error))
        finally:
            self._pending, self._underway = [], None  # what is not stored was not acknowledged, and comes again
            await self._journal.close()


def _statistics(trading: PaperTrading, outputs: Sequence[AnyPaperEvent]) -> dict[str, dict[str, Any]]:
    """Return how the portfolios do whose equity was noted."""
    names = {output.portfolio for output in outputs if type(output) is EquityReport}
    found = {name: trading.engine.portfolios[name] for name in sorted(names) if name in trading.engine.portfolios}
    return {name: msgspec.structs.asdict(portfolio.statistics()) for name, portfolio in found.items()}


def _count(trading: PaperTrading) -> None:
    portfolios = trading.engine.portfolios.values()
    metrics.PAPER_OPEN_ORDERS.set(sum(len(portfolio.open) for portfolio in portfolios))
    metrics.PAPER_HALTED.set(sum(portfolio.halted is not None for portfolio in portfolios))
