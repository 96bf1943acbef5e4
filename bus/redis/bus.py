"""The event bus on Redis Streams, put together from its parts."""

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from random import Random
from uuid import uuid4

from bus.clock import MILLISECOND, Clock, SystemClock
from bus.errors import BusUnavailable, ConfigError
from bus.events import MARKET_CHANNELS, Event
from bus.frames import decode_frame
from bus.interface import Group, Lease
from bus.part import WHOLE, Part
from bus.redis.cluster import ClusterClient
from bus.redis.cluster_consumer import ClusterConsumer
from bus.redis.cluster_lease import ClusterLease
from bus.redis.connection import check_server, connect, reaching
from bus.redis.consumer import RedisConsumer
from bus.redis.frame_cache import FrameCache
from bus.redis.group_reader import GroupReader
from bus.redis.lease import RedisLease
from bus.redis.outstream import Fence
from bus.redis.overflow import Overflow
from bus.redis.part_lease import PartLease
from bus.redis.publisher import Publisher
from bus.redis.spool import Spool
from bus.redis.state import RedisState
from bus.streams import StreamNames

CLOSE_DEADLINE = 2.0
CONSUMER = "marketd"


class RedisBus:
    """See `bus.interface.EventBus`. Use `await RedisBus.open(url)`; whoever opened it watches `failed`."""

    def __init__(self, url: str, names: StreamNames, clock: Clock, random: Random, instance: str) -> None:
        self.url = url
        self.names = names
        self.client = connect(url)
        self.state = RedisState(self.client, names, url)
        self._clock = clock
        self._instance = instance
        self._frames = FrameCache()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
        self._publisher = Publisher(self.client, names, clock, random, uuid4().hex[:12])
        self._writer = asyncio.create_task(self._publisher.run(), name="bus writer")

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        prefix: str = "md",
        clock: Clock | None = None,
        random: Random | None = None,
        instance: str | None = None,
    ) -> "RedisBus":
        """Connect and make sure that the server keeps what it is given.

        `instance` names the consumer in its groups: one name for all, since one process at a time feeds a handler.
        Raises BusUnavailable, also for a server that is out of memory, and ConfigError for one that evicts.
        """
        bus = cls(url, StreamNames(prefix), clock or SystemClock(), random or Random(), instance or CONSUMER)
        try:
            await check_server(bus.client, url)
        except BaseException:
            await bus.close()
            raise
        return bus

    @property
    def connected(self) -> bool:
        """Whether the last write reached the server."""
        return self._publisher.connected and not self._writer.done()

    @property
    def trouble(self) -> str:
        """Why the last write failed, empty when it did not."""
        return self._publisher.trouble

    async def inspect(self) -> None:
        """Look at the server as `open` does, whatever has been changed since. Raises BusUnavailable, ConfigError."""
        await check_server(self.client, self.url)

    async def failed(self) -> None:
        """Wait until the writer has died, which it never should; raises what killed it."""
        await asyncio.shield(self._writer)

    async def publish(self, events: Sequence[Event]) -> None:
        """See `EventBus.publish`."""
        if self._writer.done():
            raise BusUnavailable("the bus is closed")
        await self._publisher.publish(events)

    def lease(self, name: str, part: Part = WHOLE) -> Lease:
        """See `EventBus.lease`."""
        key = f"{self.names.prefix}:lease:{name}"
        if part != WHOLE:
            sharing = self._claim(key, f"{part.of} parts")
            return PartLease(f"{name}-{part}", sharing, self._claim(f"{key}-{part}", self._owner))
        if isinstance(self.client, ClusterClient):
            return ClusterLease(key, lambda key: self._claim(key, self._owner))
        return self._claim(key, self._owner)

    def _claim(self, key: str, owner: str) -> RedisLease:
        return RedisLease(self.client, self.url, key, owner, self._clock)

    def fence(self, exchange: str, lease: Lease) -> None:
        """See `EventBus.fence`."""
        if isinstance(lease, RedisLease | ClusterLease):
            key, owner = lease.fence_key, lease.owner
            lease.guard(self.names.market(exchange, channel) for channel in MARKET_CHANNELS)
            self._publisher.fence(exchange, lambda stream: Fence(key(stream), owner))

    def spool(self, folder: Path, limit: int) -> None:
        """From now on keep events on disk while the server is away, at most `limit` bytes.

        Call it when the fences stand: what an earlier process has left there is written at once. Raises ConfigError
        for a folder that cannot be used.
        """
        try:
            self._publisher.use(Overflow(Spool(folder, limit), self.client, self.names, self._clock))
        except OSError as error:
            raise ConfigError(f"cannot spool in {folder}: {error}") from error

    async def tail(self, exchange: str, channel: str, since: int) -> list[Event]:
        """See `EventBus.tail`."""
        stream = self.names.market(exchange, channel)
        async with reaching(self.url):
            entries = await self.client.xrange(stream, str(since // MILLISECOND))
        return [event for entry, fields in entries for event in decode_frame(stream, entry.decode(), fields)[0].events]

    async def newest(self, stream: str) -> Event | None:
        """See `EventBus.newest`."""
        async with reaching(self.url):
            entries = await self.client.xrevrange(stream, count=1)
        for entry, fields in entries:
            return decode_frame(stream, entry.decode(), fields)[0].events[-1]
        return None

    async def flush(self, deadline: float) -> None:
        """See `EventBus.flush`."""
        await self._publisher.flush(deadline)

    async def consumer(self, group: Group) -> RedisConsumer | ClusterConsumer:
        """See `EventBus.consumer`."""

        def reader() -> GroupReader:
            return GroupReader(self.client, self.url, group, self._instance, self._clock, self._frames, self.publish)

        kind = ClusterConsumer if isinstance(self.client, ClusterClient) else RedisConsumer
        return kind(self.client, self.url, self.names, group, self._clock, reader)

    async def close(self) -> None:
        """See `EventBus.close`."""
        try:
            if not self._writer.done():
                await self._publisher.flush(CLOSE_DEADLINE)
        except BusUnavailable:
            pass  # said by the writer's own log; the ring is gone with the process either way
        finally:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
            await self._publisher.close()
            await self.client.aclose()
