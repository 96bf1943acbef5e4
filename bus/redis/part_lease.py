"""A lease on one part of what processes share out: all have to share it in the same number of parts."""

import structlog

from bus.interface import Lease

log = structlog.get_logger(__name__)


class PartLease:
    """See `bus.interface.Lease`. `sharing` is held by all processes together that count as many parts.

    While it is held by others, which count otherwise or share nothing, two could read one stream: so nobody else does.
    """

    def __init__(self, what: str, sharing: Lease, own: Lease) -> None:
        self._what = what
        self._sharing = sharing
        self._own = own
        self._apart = False

    @property
    def lifetime(self) -> float:
        """Seconds after a renewal during which nobody else can have it."""
        return self._own.lifetime

    async def renew(self) -> bool:
        """Take or keep it where nobody else has it, and say whether it is held. Raises BusUnavailable."""
        apart = not await self._sharing.renew()
        if apart and not self._apart:
            log.warning("other processes share this out in another way, waiting until they have ended", what=self._what)
        self._apart = apart
        return not apart and await self._own.renew()

    async def wanted(self) -> bool:
        """Say whether another process waits to take over. Raises BusUnavailable."""
        return await self._own.wanted()

    async def release(self) -> None:
        """Give it up; the others may go on sharing. Raises BusUnavailable."""
        await self._own.release()
