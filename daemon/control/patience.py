"""How the command server gets through disconnects: it tries again for as long as it takes."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from redis.exceptions import RedisError

from bus.clock import Clock
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

DEADLINE: Final = 10.0
"""Seconds for one exchange with Redis."""
UNREACHABLE: Final = (RedisError, OSError, TimeoutError)

T = TypeVar("T")


class Patience:
    """Tries again with growing pauses, and begins anew with short ones once something worked."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._backoff = Backoff(rng, longest=5.0)

    async def insist(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Do something with Redis, as often as it takes: the outcome of a command is not lost to a disconnect."""
        while True:
            try:
                async with asyncio.timeout(DEADLINE):
                    outcome = await operation()
            except UNREACHABLE as error:
                await self.wait(error)
            else:
                self._backoff.reset()
                return outcome

    async def wait(self, error: Exception) -> None:
        """Pause after a failure."""
        delay = self._backoff.next()
        log.warning("command stream out of reach", reason=str(error), retry_in=round(delay, 3))
        await self._clock.sleep(delay)

    def reset(self) -> None:
        """Note that Redis was reached."""
        self._backoff.reset()
