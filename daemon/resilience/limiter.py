"""Keeps requests within what an exchange allows one address: weight per minute, pauses that it imposes, bans.

Binance's rules: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits
"""

from collections import deque
from typing import Final

from bus.clock import SECOND, Clock

WINDOW: Final = 60.0
SHARE: Final = 0.9
"""Part of the allowed weight that we use: other programs on the address and clock differences need the rest."""
CLOSEST_CHECK: Final = 0.05


class Limiter:
    """The budget of one (exchange, address): a sliding window of weight, corrected by the exchange's own count."""

    def __init__(self, clock: Clock, weight_per_minute: int) -> None:
        self._clock = clock
        self._allowed = weight_per_minute * SHARE
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0
        self._paused_until = 0.0
        self.banned_until: int | None = None
        """Wall clock ns until which the exchange has banned this address; it must survive a restart."""

    def _expire(self) -> None:
        oldest = self._clock.monotonic() - WINDOW
        while self._spent and self._spent[0][0] <= oldest:
            self._sum -= self._spent.popleft()[1]

    @property
    def used(self) -> int:
        """Weight spent within the last minute."""
        self._expire()
        return self._sum

    def wait_needed(self, weight: int) -> float:
        """Return the seconds until a request of this weight may go out; 0 when now."""
        ban = max(0.0, ((self.banned_until or 0) - self._clock.now()) / SECOND)
        wait = max(ban, self._paused_until - self._clock.monotonic(), 0.0)
        self._expire()
        if not self._spent or self._sum + weight <= self._allowed:
            return wait
        return max(wait, self._spent[0][0] + WINDOW - self._clock.monotonic(), CLOSEST_CHECK)

    async def acquire(self, weight: int) -> None:
        """Wait for room and take it."""
        while (wait := self.wait_needed(weight)) > 0:
            await self._clock.sleep(wait)
        self._spent.append((self._clock.monotonic(), weight))
        self._sum += weight

    def observe(self, used: int) -> None:
        """Take the exchange's own count of what this address has used: others may share the address."""
        self._expire()
        if used > self._sum:
            self._spent.append((self._clock.monotonic(), used - self._sum))
            self._sum = used

    def pause(self, seconds: float) -> None:
        """Send nothing for a while, as a 429 with Retry-After demands."""
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def ban(self, seconds: float) -> None:
        """Send nothing at all until the deadline of a 418, also after a restart."""
        self.banned_until = max(self.banned_until or 0, self._clock.now() + round(seconds * SECOND))


class Quota:
    """At most so many events a minute, such as connection attempts."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._limiter = Limiter(clock, per_minute)

    async def acquire(self) -> None:
        """Wait until one more is allowed."""
        await self._limiter.acquire(1)
