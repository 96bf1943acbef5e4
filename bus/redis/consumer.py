"""The reading end of a group: finds the streams that it wants, as they appear, and reads them all."""

from collections.abc import Callable, Sequence
from typing import Final

from bus.clock import Clock
from bus.events import MARKET_CHANNELS
from bus.frames import Frame
from bus.interface import Delivery, Group
from bus.redis.connection import ANSWER_DEADLINE, Client, reaching
from bus.redis.group_reader import GroupReader
from bus.streams import StreamNames

LOOK_FOR_STREAMS: Final = 0.5
"""Seconds between two looks at the directory of streams."""


async def wanted(client: Client, names: StreamNames, group: Group) -> set[str]:
    """Return the streams that a group reads: of those listed now, and of the bus's own. Raises RedisError, OSError."""
    listed = map(bytes.decode, await client.smembers(names.directory))
    found = {name for name in listed if (parsed := names.parse(name)) and parsed.channel in group.channels}
    if group.system:
        found.update((names.system, names.dead))
    if group.commands:
        found.add(names.paper_commands)
    return {name for name in found if _takes(group, names, name)}


def _takes(group: Group, names: StreamNames, stream: str) -> bool:
    """Whether this part of the group reads a stream; an exchange's streams go to the parts in turn, or to one."""
    market = names.parse(stream)
    if market is None or market.channel not in MARKET_CHANNELS:
        return group.part.takes(stream)
    return group.part.takes(market.exchange, 0 if group.by_exchange else MARKET_CHANNELS.index(market.channel))


class RedisConsumer:
    """All streams in one read, on one server. See `bus.interface.Consumer`."""

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
        self._reader = reader()
        self._next_look = 0.0
        self._from_now = group.start_at == "now"

    async def read(self, wait: float) -> Delivery:
        """Return the next frames; see `bus.interface.Consumer.read`."""
        if self._clock.monotonic() >= self._next_look:
            async with reaching(self._url, ANSWER_DEADLINE):
                await self._look_for_streams()
        streams = len(self._reader.streams)
        if not streams:
            await self._clock.sleep(min(wait, LOOK_FOR_STREAMS))
            return Delivery([])
        return await self._reader.read(wait, streams)

    async def _look_for_streams(self) -> None:
        """Pick up streams that have appeared."""
        for stream in sorted(await wanted(self._client, self._names, self._group) - set(self._reader.streams)):
            await self._reader.open(stream, from_now=self._from_now)
        # a group that reads from now on must not miss the beginning of a stream that is born while it runs
        self._from_now = False
        self._next_look = self._clock.monotonic() + LOOK_FOR_STREAMS

    def look_again(self) -> None:
        """See `bus.interface.Consumer.look_again`."""
        self._next_look = 0.0

    async def ack(self, frames: Sequence[Frame]) -> None:
        """Acknowledge frames; the word travels with the next read, or with `close`."""
        self._reader.ack(frames)

    async def rewind(self) -> None:
        """Start again with everything delivered and not acknowledged."""
        self._reader.rewind()

    async def close(self) -> None:
        """Send what was acknowledged last."""
        await self._reader.close()
