"""A lease on a cluster, where the append script of a stream sees no key but those in the stream's own slot.

So each stream that the lease covers has a lease of its own beside it. Whoever holds the lease itself takes all of
these, and counts as holding it once it has them; whoever has lost it lets them go, or they expire.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from bus.errors import BusUnavailable
from bus.redis.append import lease_key
from bus.redis.lease import RedisLease


class ClusterLease:
    """See `bus.interface.Lease`. While the node of one stream is away the streams on the others stay covered."""

    def __init__(self, name: str, claim: Callable[[str], RedisLease]) -> None:
        self._lease = claim(name)
        self._claim = claim
        self._beside: dict[str, RedisLease] = {}
        self._held = False
        self.owner = self._lease.owner

    @property
    def lifetime(self) -> float:
        """Seconds after a renewal during which nobody else can have it."""
        return self._lease.lifetime

    def fence_key(self, stream: str) -> str:
        """Return the key at which the append script sees who may write a stream."""
        return lease_key(stream)

    def guard(self, streams: Iterable[str]) -> None:
        """Cover these streams too, from the next renewal on."""
        for stream in streams:
            if stream not in self._beside:
                self._beside[stream] = self._claim(self.fence_key(stream))

    async def renew(self) -> bool:
        """Take or keep it where nobody else has it, and say whether it is held. Raises BusUnavailable."""
        try:
            mine = await self._lease.renew()
        except BusUnavailable:
            if self._held:  # nobody else can take it meanwhile
                await self._renew_beside()
            raise
        if mine:
            self._held = await self._renew_beside()
        else:
            self._held = False
            await self._release_beside()
        return self._held

    async def _renew_beside(self) -> bool:
        """Renew what lies beside the streams, and say whether it is all ours as far as can be known."""
        answers = await asyncio.gather(*(lease.renew() for lease in self._beside.values()), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, BusUnavailable):
                raise answer
        return False not in answers and (self._held or all(answer is True for answer in answers))

    async def _release_beside(self) -> None:
        """Let go of what lies beside the streams; what cannot be reached expires."""
        for lease in self._beside.values():
            if lease.held:
                with suppress(BusUnavailable):
                    await lease.release()

    async def wanted(self) -> bool:
        """Say whether another process waits to take over. Raises BusUnavailable."""
        return await self._lease.wanted()

    async def release(self) -> None:
        """Give it up. Raises BusUnavailable."""
        self._held = False
        await self._release_beside()
        await self._lease.release()
