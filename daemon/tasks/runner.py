"""Runs tasks: takes those that nobody runs, tells how far they are, ends those that are to be cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeAlias

import msgspec
import structlog
from pydantic import JsonValue

from bus.clock import Clock
from bus.errors import MarketdError, Retryable, StoreUnavailable
from bus.events import TaskState
from daemon.resilience.backoff import Backoff
from daemon.tasks.claims import Claims
from daemon.tasks.kind import Kinds
from daemon.tasks.ledger import TaskLedger, TaskRecord
from daemon.tasks.progress import Progress

log = structlog.get_logger(__name__)

LOOK: Final = 0.3
"""Seconds between two looks at what is to be done or cancelled."""
BEAT: Final = 0.5
"""Seconds between two words about how far a task is."""
AT_ONCE: Final = 4
"""Tasks that one process runs at a time; each bounds its own parallel jobs."""
ATTEMPTS: Final = 8
"""Failures in a row without any progress after which what can be tried again is given up."""

Outcome: TypeAlias = tuple[TaskState, JsonValue, str]
Tell: TypeAlias = Callable[[TaskRecord], Awaitable[None]]
"""Tells others how a task stands."""


class TaskRunner:
    """One process's worker.

    With `only` it is a command line's: it takes this one task, and only while no daemon serves tasks.
    """

    def __init__(
        self, kinds: Kinds, ledger: TaskLedger, dsn: str, tell: Tell, clock: Clock, random: Random,
        only: str | None = None,
    ) -> None:  # fmt: skip
        self._kinds = kinds
        self._ledger = ledger
        self._dsn = dsn
        self._tell = tell
        self._clock = clock
        self._random = random
        self._only = only
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        """Those that were told to end because somebody asked for it."""

    async def run(self) -> None:
        """Serve tasks until cancelled; what runs then goes on when somebody serves tasks again.

        Raises StoreUnavailable when the claims are lost: another process may run the same tasks now.
        """
        async with Claims(self._dsn) as claims:
            try:
                if self._only is None:
                    await claims.serve()
                while not claims.lost.is_set():
                    await self._look(claims)
                    await self._clock.sleep(LOOK)
                raise StoreUnavailable("the session that holds the claims on tasks has ended")
            finally:
                for job in self._running.values():
                    job.cancel()
                await asyncio.gather(*self._running.values(), return_exceptions=True)
                self._running.clear()

    async def _look(self, claims: Claims) -> None:
        for identity in [name for name, job in self._running.items() if job.done()]:
            self._running.pop(identity).result()
            self._ending.discard(identity)
            await claims.give(identity)
        for record in await self._ledger.unfinished():
            job = self._running.get(record.id)
            if job is not None and record.cancel:
                self._end(record.id, job)
            elif job is None and await self._may_take(record, claims) and await claims.take(record.id):
                begun = await self._ledger.begin(record.id)
                if begun is None:
                    await claims.give(record.id)
                else:
                    self._running[record.id] = asyncio.create_task(self._job(begun), name=f"task {record.id}")

    async def _may_take(self, record: TaskRecord, claims: Claims) -> bool:
        if self._only is None:
            return len(self._running) < AT_ONCE
        return record.id == self._only and not await claims.served()

    def _end(self, identity: str, job: "asyncio.Task[None]") -> None:
        if identity not in self._ending:
            self._ending.add(identity)
            job.cancel()

    async def _job(self, record: TaskRecord) -> None:
        """Run one task to its end and write that down. Cancelled without being asked for it leaves it unfinished."""
        log.info("task begins", task=record.id, kind=record.kind)
        progress = Progress(self._clock, record.created)
        outcome: Outcome = ("cancelled", None, "")
        if not record.cancel:
            try:
                outcome = await self._attempts(record, progress)
            except asyncio.CancelledError:
                if record.id not in self._ending:
                    raise
        state, result, error = outcome
        await self._ledger.finish(record.id, state, result, error)
        await self._tell(_as_of(record, progress, state, result, error))
        log.info("task ended", task=record.id, kind=record.kind, state=state, reason=error)

    async def _attempts(self, record: TaskRecord, progress: Progress) -> Outcome:
        """Try until it works or cannot work; return how it ended."""
        backoff = Backoff(self._random, first=1.0, longest=60.0, least=0.2)
        furthest = -1
        while True:
            try:
                return "done", await self._attempt(record, progress), ""
            except Retryable as error:
                if progress.done > furthest:
                    furthest = progress.done
                    backoff.reset()
                pause = backoff.next()
                if backoff.failures >= ATTEMPTS:
                    return "failed", None, str(error)
                log.warning("task waits to try again", task=record.id, reason=str(error), seconds=round(pause, 1))
                waits = f"waits to try again: {error}"
                await self._note(record, progress, waits)
            except MarketdError as error:
                return "failed", None, str(error)
            except Exception as error:  # a bug in one kind of task is not the end of the others
                log.exception("task crashed", task=record.id, kind=record.kind)
                return "failed", None, f"{type(error).__name__}: {error}"
            await self._pause(record, progress, pause, waits)
            progress.restart()

    async def _pause(self, record: TaskRecord, progress: Progress, seconds: float, why: str) -> None:
        """Wait; whoever follows the task hears of it meanwhile."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            await self._tell(_as_of(record, progress, "running", None, why))
            await self._clock.sleep(min(BEAT, left))

    async def _attempt(self, record: TaskRecord, progress: Progress) -> JsonValue:
        work = asyncio.create_task(self._kinds.find(record.kind).run(record.args, progress))
        try:
            while not work.done():
                await self._note(record, progress, "")
                await self._tell(_as_of(record, progress, "running", None, ""))
                await asyncio.wait({work}, timeout=BEAT)
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._note(record, progress, "")

    async def _note(self, record: TaskRecord, progress: Progress, error: str) -> None:
        try:
            await self._ledger.note(
                record.id, progress.done, progress.total, progress.rate, progress.seconds_left, error
            )
        except StoreUnavailable as unavailable:
            log.warning("progress not written", task=record.id, reason=str(unavailable))


def _as_of(record: TaskRecord, progress: Progress, state: TaskState, result: JsonValue, error: str) -> TaskRecord:
    """Return a task as it stands now."""
    left = progress.seconds_left if state == "running" else None
    return msgspec.structs.replace(
        record, state=state, done=progress.done, total=progress.total, rate=progress.rate, seconds_left=left,
        result=result, error=error,
    )  # fmt: skip
