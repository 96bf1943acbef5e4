"""One exchange's way to the bus: everything in the order in which it arose, and what waiting there does to us."""

import asyncio
from collections.abc import Sequence
from typing import Final

from bus.clock import Clock
from bus.events import AnySystemEvent, Event
from bus.interface import EventBus

NOTICEABLE: Final = 1.0
"""Seconds of waiting for the bus from which on silence is our own doing and no exchange's."""


class Outbox:
    """Publishes for everything that runs for one exchange. While the bus has no room, `publish` waits."""

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._turn = asyncio.Lock()  # first come, first served
        self._said: list[Event] = []
        self._waiting = 0
        self.resumed = clock.monotonic()
        """When the bus last had room again after a noticeable wait; ages count from here at the earliest."""

    @property
    def held(self) -> bool:
        """Whether somebody waits for the bus right now: then sockets are not read."""
        return self._waiting > 0

    def say(self, event: AnySystemEvent) -> None:
        """Let a system event go out with the next `publish`, which whoever says something calls soon."""
        self._said.append(event)

    async def publish(self, events: Sequence[Event] = ()) -> None:
        """Publish, after all that was handed over before. Raises BusUnavailable when the bus is closed."""
        if self._said:
            events = [*self._said, *events]
            self._said.clear()
        if not events:
            return
        began = self._clock.monotonic()
        self._waiting += 1
        try:
            async with self._turn:
                await self._bus.publish(events)
        finally:
            self._waiting -= 1
            if (now := self._clock.monotonic()) - began > NOTICEABLE:
                self.resumed = now
