"""A lease: of several processes that could publish the same feeds, the one that holds it does.

It is a key that expires; the append script checks it for each frame, so that whoever has lost it without noticing
writes nothing (https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html, "fencing").
"""

from collections.abc import Iterable
from typing import Final

from bus.clock import Clock
from bus.errors import BusUnavailable
from bus.redis.connection import Client, reaching

TTL: Final = 3.0
"""Seconds after which another process takes over from one that has died."""

_RENEW: Final = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] or (not holder and ARGV[3] == '1') then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 0
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLease:
    """One process's claim. `key` and `owner` are what the append script compares.

    When the server has been away the lease may have expired: then the process that held it is let go first, since
    what it could not write meanwhile is complete, and what the others have kept is not.
    """

    def __init__(self, client: Client, url: str, key: str, owner: str, clock: Clock) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._held = False
        self._cut_off = False
        self._patient_until = 0.0
        self.key = key
        self.owner = owner

    @property
    def lifetime(self) -> float:
        """Seconds after a renewal during which nobody else can have it."""
        return TTL

    @property
    def held(self) -> bool:
        """Whether it was held when last asked for."""
        return self._held

    @property
    def _waiting(self) -> str:
        # in the key's own cluster slot
        return f"{self.key}:standby" if self.key.startswith("{") else f"{{{self.key}}}:standby"

    def fence_key(self, stream: str) -> str:  # noqa: ARG002 # on a cluster it does depend on it
        """Return the key at which the append script sees who may write a stream."""
        return self.key

    def guard(self, streams: Iterable[str]) -> None:
        """Do for streams what it takes that the lease covers them: nothing, where all keys can be seen at once."""

    async def renew(self) -> bool:
        """Take or keep the lease where nobody else has it, and say whether it is held. Raises BusUnavailable."""
        patient = self._cut_off or self._clock.monotonic() < self._patient_until
        arguments = (self.owner, round(TTL * 1000), int(self._held or not patient))
        try:
            async with reaching(self._url):
                self._held = bool(await self._client.eval(_RENEW, 2, self.key, self._waiting, *arguments))
        except BusUnavailable:
            self._cut_off = True
            raise
        if self._cut_off:
            self._cut_off, self._patient_until = False, self._clock.monotonic() + TTL
        return self._held

    async def wanted(self) -> bool:
        """Say whether another process waits to take over. Raises BusUnavailable."""
        async with reaching(self._url):
            waiting = await self._client.get(self._waiting)
        return waiting is not None and waiting.decode() != self.owner

    async def release(self) -> None:
        """Give the lease up. Raises BusUnavailable."""
        self._held = False
        async with reaching(self._url):
            await self._client.eval(_RELEASE, 1, self.key, self.owner)
