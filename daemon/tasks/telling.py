"""Says on the system stream how a task stands; its row is what counts, so a bus that is away delays nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import BusUnavailable
from bus.events import Event, Task
from daemon.tasks.ledger import TaskRecord

log = structlog.get_logger(__name__)

DEADLINE: Final = 5.0


def on_bus(
    publish: Callable[[Sequence[Event]], Awaitable[None]], clock: Clock
) -> Callable[[TaskRecord], Awaitable[None]]:
    """Return what tells a task's state as an event."""

    async def tell(task: TaskRecord) -> None:
        event = Task(clock.now(), task.id, task.kind, task.state, task.done, task.total, task.rate, task.seconds_left)
        try:
            async with asyncio.timeout(DEADLINE):
                await publish([event])
        except (BusUnavailable, TimeoutError) as error:
            log.warning("progress not told", task=task.id, reason=str(error) or "no room")

    return tell
