"""The command server: reads `{prefix}:commands` and its like, and answers on `{prefix}:replies`."""

import asyncio
import random
from collections.abc import Callable

from redis.asyncio import Redis

from bus.clock import Clock
from bus.streams import ACCESSES, StreamNames
from daemon.control.audit import Record
from daemon.control.command import Commands
from daemon.control.lane import Lane
from daemon.control.patience import Patience


class ControlServer:
    """A lane for each command stream, so that nobody waits behind those who may do less.

    One such server per bus: two would share the commands out between them.
    """

    def __init__(
        self,
        redis: Redis,
        names: StreamNames,
        commands: Commands,
        audit: Callable[[Record], None],
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._lanes = [Lane(redis, names, access, commands, audit, Patience(clock, rng), clock) for access in ACCESSES]

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(lane.run())
