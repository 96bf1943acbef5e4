"""Owns every background task: notices its death at once, starts it again alone, and ends all of them in order."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import structlog

from bus.clock import Clock
from bus.errors import Retryable
from bus.metrics import TASK_RESTARTS
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

Factory = Callable[[], Coroutine[Any, Any, None]]
State = Literal["running", "backing off", "ended", "stopped"]

SETTLED: Final = 60.0
"""Seconds of running after which earlier crashes are forgotten."""
GRACE: Final = 2.0
"""Seconds that a cancelled role has for letting go."""


class RoleStatus(NamedTuple):
    """How a role does: since when (ns UTC), how often it was started again, and what ended it last."""

    state: State
    since: int
    restarts: int
    last_error: str


class DrainStep(NamedTuple):
    """One step of an orderly end, e.g. ("flush the bus", lambda: bus.flush(5))."""

    name: str
    run: Callable[[], Awaitable[object]]


class _Role:
    """One supervised task: its factory, its keeper and what became of it."""

    def __init__(self, name: str, factory: Factory, backoff: Backoff, *, may_end: bool) -> None:
        self.name = name
        self.factory = factory
        self.backoff = backoff
        self.may_end = may_end
        self.restarts = 0
        self.last_error = ""
        self.state: State = "running"
        self.since = 0
        self.keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Named roles, each kept running by a keeper task of its own."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._roles: dict[str, _Role] = {}

    def start(self, name: str, factory: Factory, *, may_end: bool = False) -> None:
        """Start a role and keep it running; `may_end`: returning without an error is fine. Names are unique."""
        present = self._roles.get(name)
        if present is not None and present.keeper is not None and not present.keeper.done():
            raise ValueError(f"role {name} runs already")
        role = _Role(name, factory, Backoff(self._rng), may_end=may_end)
        self._roles[name] = role
        self._enter(role, "running")
        role.keeper = asyncio.create_task(self._keep(role), name=name)

    async def stop(self, *names: str) -> bool:
        """End roles: cancel, wait for them. False when one did not let go within `GRACE` seconds."""
        roles = [role for name in names if (role := self._roles.get(name)) is not None]
        keepers = [role.keeper for role in roles if role.keeper is not None and not role.keeper.done()]
        for keeper in keepers:
            keeper.cancel()
        stuck: set[asyncio.Task[None]] = set()
        if keepers:
            _, stuck = await asyncio.wait(keepers, timeout=GRACE)
        for keeper in stuck:
            log.error("role ignores its cancellation", role=keeper.get_name())
        for role in roles:
            if role.state != "ended" and role.keeper not in stuck:
                self._enter(role, "stopped")
        return not stuck

    async def remove(self, *names: str) -> bool:
        """End roles and forget them: they are not wanted any more. False as `stop`."""
        stopped = await self.stop(*names)
        for name in names:
            self._roles.pop(name, None)
        return stopped

    def status(self) -> Mapping[str, RoleStatus]:
        """Return how every role does, by name."""
        return {
            role.name: RoleStatus(role.state, role.since, role.restarts, role.last_error)
            for role in self._roles.values()
        }

    def check(self) -> tuple[bool, str]:
        """Say for /ready whether every role runs that should, and which do not."""
        down = [role for role in self._roles.values() if role.state not in ("running", "ended")]
        if not down:
            return True, f"{len(self._roles)} roles run"
        return False, "; ".join(f"{r.name} is {r.state}" + (f": {r.last_error}" if r.last_error else "") for r in down)

    async def drain(self, steps: Sequence[DrainStep], deadline: float, now: asyncio.Event) -> bool:
        """Take the steps in order, then stop what still runs. False when `deadline` seconds or `now` cut it short."""
        work = asyncio.create_task(self._take(steps), name="drain")
        impatience = asyncio.create_task(now.wait(), name="second signal")
        try:
            await asyncio.wait({work, impatience}, timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                log.error("drain cut short", reason="second signal" if now.is_set() else f"{deadline:g} s have passed")
        finally:
            work.cancel()
            impatience.cancel()
            await asyncio.wait({work, impatience}, timeout=GRACE)
            stopped = await self.stop(*reversed(self._roles))
        return stopped and work.done() and not work.cancelled() and work.result()

    async def _take(self, steps: Sequence[DrainStep]) -> bool:
        complete = True
        for step in steps:
            log.info("draining", step=step.name)
            try:
                await step.run()
            except Exception:  # one step that fails must not keep the others from being taken
                log.exception("drain step failed", step=step.name)
                complete = False
        return complete

    async def _keep(self, role: _Role) -> None:
        """Run a role's task again and again, until it ends well or is cancelled."""
        while True:
            begun = self._clock.monotonic()
            error = await self._run_once(role)
            if error is None and role.may_end:
                self._enter(role, "ended")
                return
            if self._clock.monotonic() - begun >= SETTLED:
                role.backoff.reset()
            delay = role.backoff.next()
            role.last_error = repr(error) if error is not None else "ended without an error"
            said = {"role": role.name, "retry_in": round(delay, 3), "error": role.last_error}
            if isinstance(error, Retryable):  # what it names is out of reach: where that was noticed tells nothing
                log.error("role has to wait", **said)
            else:
                log.error("role crashed", **said, exc_info=error)
            self._enter(role, "backing off")
            await self._clock.sleep(delay)
            role.restarts += 1
            TASK_RESTARTS.labels(role.name).inc()
            self._enter(role, "running")

    async def _run_once(self, role: _Role) -> BaseException | None:
        """Run a role's task to its end and return what ended it. A cancellation of the keeper passes through."""
        try:
            await role.factory()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error  # something inside was cancelled, not the role: a crash like any other
        except Exception as error:  # noqa: BLE001 # whatever ends a role, the others go on
            return error
        return None

    def _enter(self, role: _Role, state: State) -> None:
        role.state = state
        role.since = self._clock.now()
