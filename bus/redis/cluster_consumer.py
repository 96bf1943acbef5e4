"""The reading end of a group on a cluster: a reader for each stream, so that one node's failure stops only its own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import BusUnavailable
from bus.frames import Frame
from bus.interface import Delivery, Group, Loss
from bus.redis.connection import Client, reaching
from bus.redis.consumer import LOOK_FOR_STREAMS, wanted
from bus.redis.first_come import FirstCome
from bus.redis.group_reader import GroupReader
from bus.streams import StreamNames

log = structlog.get_logger(__name__)

BLOCK: Final = 2.0
"""Seconds that a stream's reader waits for new frames; its acknowledgements travel with its next read."""
QUICK_BLOCK: Final = 0.25
"""The same while it is not known of every stream whether it has anything: somebody may wait to hear that."""
PAUSE: Final = 0.25
"""Seconds between two attempts to read a stream whose node does not answer."""


class ClusterConsumer:
    """See `bus.interface.Consumer`. While some streams cannot be read the others are; only without any it raises."""

    def __init__(
        self,
        client: Client,
        url: str,
        names: StreamNames,
        group: Group,
        clock: Clock,
        reader: Callable[[], GroupReader],
    ) -> None:
        self._client = client
        self._url = url
        self._names = names
        self._group = group
        self._clock = clock
        self._new_reader = reader
        self._readers: dict[str, GroupReader] = {}
        self._reading = FirstCome(self._read_one)
        self._away: dict[str, BusUnavailable] = {}
        self._unanswered: set[str] = set()
        """Streams that may hold something since the last `look_again`, and the directory until it has been read."""
        self._next_look = 0.0
        self._from_now = group.start_at == "now"

    async def read(self, wait: float) -> Delivery:
        """Return the next frames; see `bus.interface.Consumer.read`."""
        if self._clock.monotonic() >= self._next_look:
            await self._look_for_streams()
        if not self._readers:
            await self._clock.sleep(min(wait, LOOK_FOR_STREAMS))
            return Delivery([])
        frames: list[Frame] = []
        losses: list[Loss] = []
        for stream, task in await self._reading.next(self._readers, wait):
            try:
                delivery = task.result()
            except BusUnavailable as error:
                if stream not in self._away:
                    log.warning("a stream cannot be read, trying again", stream=stream, error=str(error))
                self._away[stream] = error
            else:
                self._away.pop(stream, None)
                frames += delivery.frames
                losses += delivery.losses
        if self._away and len(self._away) == len(self._readers):
            raise next(iter(self._away.values()))
        return Delivery(frames, losses, complete=not self._unanswered)

    async def _read_one(self, stream: str) -> Delivery:
        reader = self._readers[stream]
        try:
            delivery = await reader.read(QUICK_BLOCK if self._unanswered else BLOCK, len(self._readers))
        except BusUnavailable:
            reader.rewind()  # what the lost answer held is pending
            await self._clock.sleep(PAUSE)
            raise
        # noted here, when the read ends: it may be taken only after somebody has asked to look again
        if delivery.complete and not delivery.frames:
            self._unanswered.discard(stream)
        return delivery

    async def _look_for_streams(self) -> None:
        """Pick up streams that have appeared. While the directory's node is away those that are known go on."""
        self._next_look = self._clock.monotonic() + LOOK_FOR_STREAMS
        try:
            async with reaching(self._url):
                for stream in sorted(await wanted(self._client, self._names, self._group) - self._readers.keys()):
                    reader = self._new_reader()
                    await reader.open(stream, from_now=self._from_now)
                    self._readers[stream] = reader
                    self._unanswered.add(stream)
        except BusUnavailable:
            if not self._readers:
                raise
            return
        # a group that reads from now on must not miss the beginning of a stream that is born while it runs
        self._from_now = False
        self._unanswered.discard(self._names.directory)

    def look_again(self) -> None:
        """See `bus.interface.Consumer.look_again`."""
        self._next_look = 0.0
        self._unanswered = {self._names.directory, *self._readers}

    async def ack(self, frames: Sequence[Frame]) -> None:
        """Acknowledge frames; the word travels with the next read of their stream, or with `close`."""
        by_stream: dict[str, list[Frame]] = {}
        for frame in frames:
            by_stream.setdefault(frame.stream, []).append(frame)
        for stream, some in by_stream.items():
            self._readers[stream].ack(some)

    async def rewind(self) -> None:
        """Start again with everything delivered and not acknowledged."""
        await self._reading.stop()
        for reader in self._readers.values():
            reader.rewind()
        self._unanswered.update(self._readers)

    async def close(self) -> None:
        """Send what was acknowledged last, as far as the nodes answer."""
        await self._reading.stop()
        ended = await asyncio.gather(*(reader.close() for reader in self._readers.values()), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
