"""Counting what was used in the last minute or other window, and waiting in turn until more fits."""

import asyncio
from collections import deque
from typing import Final

from bus.clock import Clock
from bus.errors import NotAsked, RequestRefused

MINUTE: Final = 60.0
DEFAULT_PAUSE: Final = MINUTE
"""Seconds to pause after a 429 that does not say how long: by then the exchange's window is a new one."""
LONGEST_PAUSE: Final = 3_600.0
"""Seconds that a 429 counts at most; whoever means more says it again."""
LONGEST_WAIT: Final = 15.0
"""Seconds after which one caller that waits for spare room passes without: others may leave none for hours."""


class Window:
    """Weight used in the last `span` seconds.

    Exchanges count in windows aligned to their own clock, which we do not know; staying under the capacity in every
    window of that length stays under it in theirs.
    """

    def __init__(self, capacity: int, span: float = MINUTE) -> None:
        self.capacity = capacity
        self._span = span
        self._entries: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """Return the weight used in the span that ends now."""
        while self._entries and self._entries[0][0] + self._span <= now:
            self._used -= self._entries.popleft()[1]
        return self._used

    def take(self, weight: int, now: float) -> None:
        """Note that this weight is used now."""
        self._entries.append((now, weight))
        self._used += weight

    def wait(self, weight: int, now: float) -> float:
        """Return the seconds until this weight fits, 0 when it fits now."""
        excess = self.used(now) + weight - self.capacity
        for when, spent in self._entries:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return when + self._span - now
        return 0.0

    def observe(self, used: int, now: float) -> None:
        """Take over the exchange's own count where it is higher: others share our address."""
        foreign = used - self.used(now)
        if foreign > 0:
            self.take(foreign, now)


class WindowLimiter:
    """Lets callers pass in the order they came while the window has room: connects per minute, request weight."""

    def __init__(self, what: str, capacity: int, clock: Clock, span: float = MINUTE) -> None:
        self._what = what
        self._clock = clock
        self._span = span
        self._window = Window(capacity, span)
        self._turn = asyncio.Lock()
        self._paused_until = 0.0
        self._spared = clock.monotonic()
        """When the last caller that waited for spare room passed."""

    async def acquire(self, weight: int, within: float, spare: float = 0.0) -> None:
        """Wait until `weight` fits and take it. With `spare`, wait until it leaves that part of the capacity unused.

        Who waits for spare room stands in nobody's way, but every `LONGEST_WAIT` one passes in turn. Raises NotAsked
        when it takes more than `within` seconds, RequestRefused when it never fits.
        """
        reserve = int(self._window.capacity * spare)
        if weight + reserve > self._window.capacity:
            limit = f"{self._window.capacity} in {self._span:g} s"
            raise RequestRefused(f"{self._what}: weight {weight} is over the limit of {limit}")
        deadline = self._clock.monotonic() + within
        if spare:
            await self._wait_for_room(weight, reserve, deadline)
        async with self._turn:
            while (wait := self.wait(weight)) > 0:
                if self._clock.monotonic() + wait > deadline:
                    raise NotAsked(f"{self._what}: the limit is used up for {wait:.1f} s more")
                await self._clock.sleep(wait)
            self._window.take(weight, self._clock.monotonic())

    async def _wait_for_room(self, weight: int, reserve: int, deadline: float) -> None:
        """Wait until the reserve is free beside the weight, or nobody has been let pass for long."""
        while True:
            now = self._clock.monotonic()
            wait = min(self.wait(weight + reserve), max(self.wait(weight), self._spared + LONGEST_WAIT - now))
            if wait <= 0:
                break
            if now + wait > deadline:
                raise NotAsked(f"{self._what}: there is no spare room for {wait:.1f} s more")
            await self._clock.sleep(wait)
        self._spared = now

    def wait(self, weight: int) -> float:
        """Return the seconds until `weight` may pass, 0 when it may now."""
        return max(self._window.wait(weight, self._clock.monotonic()), self.closed_for())

    def pause(self, seconds: float | None) -> None:
        """Let nothing pass for a while: the exchange said 429."""
        pause = DEFAULT_PAUSE if seconds is None else min(seconds, LONGEST_PAUSE)
        self._paused_until = max(self._paused_until, self._clock.monotonic() + pause)

    def closed_for(self) -> float:
        """Return the seconds for which nothing passes, 0 when there is no pause."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    @property
    def used(self) -> int:
        """The weight used in the running window."""
        return self._window.used(self._clock.monotonic())
