"""Time as something passed in, so that everything replays the same: a real clock and one that tests turn by hand."""

import asyncio
import time
from typing import Protocol

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
MICROSECOND = 1_000


class Clock(Protocol):
    """Where a component takes its time from."""

    def now(self) -> int:
        """Wall-clock time: integer nanoseconds since the epoch, UTC. For stamping, never for waiting."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump. For deadlines and intervals."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the monotonic clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        """Wall-clock nanoseconds since the epoch, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until `advance` turns it; sleepers wake when their time has come."""

    def __init__(self, now: int = 1_700_000_000 * SECOND) -> None:
        self._now = now
        self._elapsed = 0
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """Wall-clock nanoseconds, as set by hand."""
        return self._now

    def monotonic(self) -> float:
        """Seconds turned so far."""
        return self._elapsed / SECOND

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has turned the clock far enough."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._elapsed + round(seconds * SECOND), waiter))
        await waiter

    def advance(self, seconds: float) -> None:
        """Turn both clocks forward and wake whoever's time has come, earliest first."""
        step = round(seconds * SECOND)
        self._now += step
        self._elapsed += step
        due = sorted((s for s in self._sleepers if s[0] <= self._elapsed), key=lambda s: s[0])
        self._sleepers = [s for s in self._sleepers if s[0] > self._elapsed]
        for _, waiter in due:
            if not waiter.done():
                waiter.set_result(None)

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as an administrator or NTP would; monotonic time is unaffected."""
        self._now += round(seconds * SECOND)
