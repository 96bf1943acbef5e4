"""Trims streams: what every group has read and no foreign reader may still want, and everything beyond the hard cap."""

from typing import Final

import structlog

from bus import metrics
from bus.clock import MILLISECOND, Clock
from bus.redis.append import EntryId, parse_id
from bus.redis.connection import Client, reaching
from bus.streams import ACCESSES, StreamNames

log = structlog.get_logger(__name__)

INTERVAL: Final = 5.0
KEEP_MS: Final = 3_600_000
"""History left for readers without a group, such as other programs: an hour, within the cap."""
KEEP_REPLIES_MS: Final = 600_000
"""How long replies to commands stay: whoever asked has read them by then, and some are large."""


class Janitor:
    """Keeps every stream bounded. A dead group cannot hold it up for ever: the cap trims past it, with an alarm."""

    def __init__(self, client: Client, url: str, names: StreamNames, clock: Clock, max_entries: int) -> None:
        self._client = client
        self._url = url
        self._names = names
        self._clock = clock
        self._max_entries = max_entries

    async def run(self) -> None:
        """Sweep for ever. Raises BusUnavailable for its supervisor to try again."""
        while True:
            await self._clock.sleep(INTERVAL)
            await self.sweep()

    async def sweep(self) -> None:
        """Trim every stream once."""
        async with reaching(self._url):
            market = [name.decode() for name in await self._client.smembers(self._names.directory)]
            names = self._names
            own = [names.system, names.dead, names.replies, names.paper, names.paper_commands]
            own += map(names.commands_for, ACCESSES)
            for stream in [*market, *own]:
                await self._trim(stream)

    async def _trim(self, stream: str) -> None:
        length = await self._client.xlen(stream)
        if not length:
            return
        read = await self._slowest(stream)
        keep = KEEP_REPLIES_MS if stream == self._names.replies else KEEP_MS
        old = (self._clock.now() // MILLISECOND - keep, 0)
        if stream != self._names.dead:  # dead letters stay until the cap: somebody is to look at them
            await self._remove(stream, min(read, old) if read else old)
        if await self._client.xlen(stream) > self._max_entries:
            await self._cap(stream, read)

    async def _slowest(self, stream: str) -> EntryId | None:
        """The oldest entry that some group has not acknowledged yet; None without groups."""
        positions = []
        for group in await self._client.xinfo_groups(stream):
            pending = await self._client.xpending(stream, group["name"]) if group["pending"] else {}
            oldest = pending.get("min")  # none where all has been acknowledged meanwhile
            positions.append(parse_id(oldest or group["last-delivered-id"]))
        return min(positions, default=None)

    async def _remove(self, stream: str, before: EntryId) -> None:
        removed = await self._client.xtrim(stream, minid=f"{before[0]}-{before[1]}", approximate=True)
        metrics.TRIMMED.labels(stream).inc(removed)

    async def _cap(self, stream: str, read: EntryId | None) -> None:
        removed = await self._client.xtrim(stream, maxlen=self._max_entries, approximate=True)
        metrics.TRIMMED.labels(stream).inc(removed)
        first = await self._client.xrange(stream, count=1)
        if removed and read and first and parse_id(first[0][0]) > read:
            metrics.FORCED_TRIMS.labels(stream).inc()
            log.error("stream is full: trimmed past a handler that has not read it", stream=stream, entries=removed)
