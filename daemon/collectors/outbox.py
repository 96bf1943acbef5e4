"""One exchange's way to the bus: everything in the order in which it arose, and what waiting there does to us.

While another process publishes the same feeds, what we have is kept instead, and published from where that process
stopped when we take over.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from bus.clock import Clock
from bus.events import AnySystemEvent, Event
from bus.interface import EventBus
from daemon.collectors.standby import Seam, Standby

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
        self._standby: Standby | None = None
        self.resumed = clock.monotonic()
        """When the bus last had room again after a noticeable wait; ages count from here at the earliest."""

    @property
    def held(self) -> bool:
        """Whether somebody waits for the bus right now: then sockets are not read."""
        return self._waiting > 0

    @property
    def publishing(self) -> bool:
        """Whether it is this process that publishes."""
        return self._standby is None

    def say(self, event: AnySystemEvent) -> None:
        """Let a system event go out with the next `publish`, which whoever says something calls soon."""
        self._said.append(event)

    def stand_by(self) -> None:
        """Keep what comes from now on: another process publishes."""
        if self._standby is None:
            self._standby = Standby(self._clock)

    async def take_over(self, exchange: str, channels: Sequence[str]) -> Seam:
        """Publish what another process has not, and go on from there. Raises BusUnavailable."""
        standby = self._standby
        if standby is None:
            return Seam([], [])
        async with self._turn:
            published = [event for name in channels for event in await self._bus.tail(exchange, name, standby.since)]
            seam = standby.after(published)
            self._standby = None
            await self._bus.publish([*standby.breakers, *seam.events])
        return seam

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
                if self._standby is None:
                    await self._bus.publish(events)
                else:
                    self._standby.add(events)
        finally:
            self._waiting -= 1
            if (now := self._clock.monotonic()) - began > NOTICEABLE:
                self.resumed = now
