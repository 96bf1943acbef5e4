"""The event bus in memory: for replays, backtests and tests. Same interface, same guarantees within the process."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from bus.errors import BusUnavailable
from bus.events import Event
from bus.frames import MAX_EVENTS, Frame
from bus.handler import StateStore
from bus.interface import Delivery, Group, Lease
from bus.part import WHOLE, Part
from bus.streams import StreamNames

MAX_FRAMES: Final = 100_000
"""Frames that one stream holds for its slowest group before publishers wait."""


class LocalState:
    """What handlers remember, in memory."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, bytes]] = {}

    async def load(self, handler: str) -> dict[str, bytes]:
        """See `StateStore.load`."""
        return dict(self._values.get(handler, {}))

    async def save(self, handler: str, changes: Mapping[str, bytes]) -> None:
        """See `StateStore.save`."""
        values = self._values.setdefault(handler, {})
        values.update(changes)
        for name in [name for name, value in changes.items() if not value]:
            del values[name]


class _Stream:
    def __init__(self, name: str) -> None:
        self.name = name
        self.frames: deque[Frame] = deque()
        self.seq = 0


class _Group:
    """What one group has been given and not acknowledged, and how far it was given each stream."""

    def __init__(self) -> None:
        self.delivered: dict[str, int] = {}
        self.pending: dict[str, dict[int, Frame]] = {}

    def oldest_needed(self, stream: str) -> int:
        pending = self.pending.get(stream)
        return min(pending) if pending else self.delivered.get(stream, 0) + 1


class LocalBus:
    """See `bus.interface.EventBus`."""

    def __init__(self, prefix: str = "md", state: StateStore | None = None) -> None:
        self.names = StreamNames(prefix)
        self.state: StateStore = state or LocalState()
        self._streams: dict[str, _Stream] = {}
        self._groups: dict[str, _Group] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def publish(self, events: Sequence[Event]) -> None:
        """See `EventBus.publish`."""
        if self._closed:
            raise BusUnavailable("the bus is closed")
        by_stream: dict[str, list[Event]] = {}
        for event in events:
            by_stream.setdefault(self.names.of(event), []).append(event)
        async with self._changed:
            for name, own in by_stream.items():
                while not self._has_room(name):
                    await self._changed.wait()
                stream = self._streams.setdefault(name, _Stream(name))
                for start in range(0, len(own), MAX_EVENTS):
                    stream.seq += 1
                    stream.frames.append(Frame(name, f"{stream.seq}-0", stream.seq, own[start : start + MAX_EVENTS]))
            self._changed.notify_all()

    def _has_room(self, name: str) -> bool:
        stream = self._streams.get(name)
        return self._closed or stream is None or not self._groups or len(stream.frames) < MAX_FRAMES

    def lease(self, name: str, part: Part = WHOLE) -> "LocalLease":  # noqa: ARG002 # there is one process
        """See `EventBus.lease`."""
        return LocalLease()

    def fence(self, exchange: str, lease: Lease) -> None:
        """See `EventBus.fence`."""

    async def tail(self, exchange: str, channel: str, since: int) -> list[Event]:  # noqa: ARG002 # it has no times
        """See `EventBus.tail`."""
        return [event for frame in self.frames(self.names.market(exchange, channel)) for event in frame.events]

    async def newest(self, stream: str) -> Event | None:
        """See `EventBus.newest`."""
        frames = self.frames(stream)
        return frames[-1].events[-1] if frames else None

    async def flush(self, deadline: float) -> None:  # nothing is ever under way
        """See `EventBus.flush`."""

    async def consumer(self, group: Group) -> "LocalConsumer":
        """See `EventBus.consumer`."""
        if group.name not in self._groups:
            state = self._groups[group.name] = _Group()
            if group.start_at == "now":
                state.delivered = {name: stream.seq for name, stream in self._streams.items()}
        return LocalConsumer(self, group)

    def frames(self, stream: str) -> list[Frame]:
        """Return what a stream holds now; frames that every group has acknowledged are gone."""
        return list(self._streams[stream].frames) if stream in self._streams else []

    async def close(self) -> None:
        """See `EventBus.close`."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _trim(self, name: str) -> None:
        frames = self._streams[name].frames
        needed = min(group.oldest_needed(name) for group in self._groups.values())
        while frames and frames[0].seq < needed:
            frames.popleft()


class LocalLease:
    """A lease where nobody else could take it."""

    lifetime = inf

    async def renew(self) -> bool:
        """See `Lease.renew`."""
        return True

    async def wanted(self) -> bool:
        """See `Lease.wanted`."""
        return False

    async def release(self) -> None:
        """See `Lease.release`."""


class LocalConsumer:
    """See `bus.interface.Consumer`."""

    def __init__(self, bus: LocalBus, group: Group) -> None:
        self._bus = bus
        self._group = group
        self._state = bus._groups[group.name]  # noqa: SLF001 # one mechanism in two classes
        self._again = True

    def _wanted(self) -> list[_Stream]:
        names = self._bus.names
        own = {names.system, names.dead} if self._group.system else set()
        if self._group.commands:
            own.add(names.paper_commands)
        return [
            stream
            for name, stream in self._bus._streams.items()  # noqa: SLF001 # as above
            if name in own or ((parsed := names.parse(name)) is not None and parsed.channel in self._group.channels)
        ]

    def _take(self) -> list[Frame]:
        if self._again:
            self._again = False
            again = [frame for pending in self._state.pending.values() for frame in pending.values()]
            if again:
                return again
        frames: list[Frame] = []
        events = 0
        for stream in self._wanted():
            delivered = self._state.delivered.get(stream.name, 0)
            for frame in stream.frames:
                if frame.seq > delivered and events < self._group.batch_events:
                    self._state.delivered[stream.name] = frame.seq
                    self._state.pending.setdefault(stream.name, {})[frame.seq] = frame
                    frames.append(frame)
                    events += len(frame.events)
        return frames

    def look_again(self) -> None:
        """See `Consumer.look_again`: every read looks at all streams."""

    async def read(self, wait: float) -> Delivery:
        """See `Consumer.read`."""
        async with self._bus._changed:  # noqa: SLF001 # as above
            frames = self._take()
            if not frames:
                try:
                    async with asyncio.timeout(wait):
                        await self._bus._changed.wait()  # noqa: SLF001 # as above
                except TimeoutError:
                    return Delivery([])
                frames = self._take()
        return Delivery(frames)

    async def ack(self, frames: Sequence[Frame]) -> None:
        """See `Consumer.ack`."""
        async with self._bus._changed:  # noqa: SLF001 # as above
            for frame in frames:
                self._state.pending.get(frame.stream, {}).pop(frame.seq, None)
            for name in {frame.stream for frame in frames}:
                self._bus._trim(name)  # noqa: SLF001 # as above
            self._bus._changed.notify_all()  # noqa: SLF001 # as above

    async def rewind(self) -> None:
        """See `Consumer.rewind`."""
        self._again = True

    async def close(self) -> None:
        """See `Consumer.close`."""
