"""Writes events to streams: adaptive frames, exactly once, bounded memory, through every reconnection.

What was queued while the last write was under way goes out in the next: an idle bus adds no latency, a busy one
shares the round trip among many events. Sent frames stay in a ring, so that whatever a restarted server has lost is
written again with its old ids.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple

import structlog
from redis.exceptions import NoScriptError, RedisError

from bus import metrics
from bus.clock import MILLISECOND, Clock
from bus.errors import BusUnavailable
from bus.events import Book, Event, MarketEvent
from bus.frames import MAX_EVENTS, encode_events
from bus.redis.append import FENCED, SCRIPT, EntryId, Head, OutFrame, head_key, landed, next_id, read_head, renumber
from bus.redis.connection import ANSWER_DEADLINE, Client
from bus.redis.wire import Command, Wire
from bus.streams import StreamNames

log = structlog.get_logger(__name__)

QUEUE_LIMIT: Final = 100_000
"""Events (a book counts by its levels) that may wait before publishers do."""
RING_BYTES: Final = 64 * 1024 * 1024
"""Sent frames kept for a server that has lost its newest data, in all streams together."""
FRAMES_PER_WRITE: Final = 64
LEVELS_PER_UNIT: Final = 8


def _weight(event: Event) -> int:
    return 1 + (len(event.bids) + len(event.asks)) // LEVELS_PER_UNIT if type(event) is Book else 1


class Fence(NamedTuple):
    """The lease that a stream's writer must hold: its key and who should have it."""

    key: str
    owner: str


class _Stream:
    """One stream's way out: events queued, frames not confirmed yet, frames that landed, and the head they follow."""

    __slots__ = ("expected", "fence", "head_key", "last", "name", "outbox", "queue", "ring", "seq")

    def __init__(self, name: str, fence: Fence | None) -> None:
        self.name = name
        self.fence = fence
        self.head_key = head_key(name)
        self.queue: deque[Event] = deque()
        self.outbox: deque[OutFrame] = deque()
        self.ring: deque[OutFrame] = deque()
        self.expected: bytes | None = None
        """The head token that the server should have; None while it is not known."""
        self.last: EntryId = (0, 0)
        self.seq = 0

    def cut(self, now_ms: int) -> None:
        """Make frames of what is queued, as many as one write takes."""
        while self.queue and len(self.outbox) < FRAMES_PER_WRITE:
            count = min(len(self.queue), MAX_EVENTS)
            events = [self.queue.popleft() for _ in range(count)]
            self.last = next_id(self.last, now_ms)
            self.seq += 1
            weight = sum(map(_weight, events))
            self.outbox.append(OutFrame(self.last, self.seq, count, weight, encode_events(events)))

    def follow(self, head: Head | None, now_ms: int) -> None:
        """Line the outbox up behind the server's head."""
        self.expected = head.token if head else b""
        renumber(self.outbox, head, now_ms)
        if self.outbox:
            self.last, self.seq = self.outbox[-1].entry, self.outbox[-1].seq
        elif head:
            self.last, self.seq = head.entry, head.seq


class Publisher:
    """The writer of one process. One task writes; everybody else queues."""

    def __init__(self, client: Client, names: StreamNames, clock: Clock, random: Random) -> None:
        self._client = client
        self._wire = Wire(client)
        self._names = names
        self._clock = clock
        self._random = random
        self._streams: dict[str, _Stream] = {}
        self._routes: dict[tuple[str, type], _Stream] = {}
        self._listed: set[str] = set()
        self._fences: dict[str, Fence] = {}
        self._queued = 0
        self._ring_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._script = ""
        self.connected = True
        metrics.PUBLISH_QUEUE_LIMIT.set(QUEUE_LIMIT)

    def _route(self, event: Event) -> _Stream:
        key = (getattr(event, "exchange", ""), type(event))
        stream = self._routes.get(key)
        if stream is None:
            name = self._names.of(event)
            fence = self._fences.get(key[0]) if isinstance(event, MarketEvent) else None
            stream = self._routes[key] = self._streams.setdefault(name, _Stream(name, fence))
        return stream

    def fence(self, exchange: str, fence: Fence) -> None:
        """From now on write an exchange's market streams only while this lease is held."""
        self._fences[exchange] = fence
        for (named, _), stream in self._routes.items():
            if named == exchange and self._names.parse(stream.name):
                stream.fence = fence

    async def publish(self, events: Sequence[Event]) -> None:
        """Queue events; wait for room when the bound is reached."""
        if not events:
            return
        for event in events:
            self._route(event).queue.append(event)
            self._queued += _weight(event)
        self._wake.set()
        self._idle.clear()
        if self._queued >= QUEUE_LIMIT:
            self._room.clear()
            started = self._clock.monotonic()
            await self._room.wait()
            metrics.PUBLISH_BLOCKED.inc(self._clock.monotonic() - started)

    async def flush(self, deadline: float) -> None:
        """Wait until all that was queued has landed. Raises BusUnavailable."""
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError as error:
            raise BusUnavailable(
                f"{self._queued} events could not be written to Redis within {deadline:g} s"
            ) from error

    async def run(self) -> None:
        """Write until cancelled; a lost connection is a pause, never an end."""
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if failures:
                    async with asyncio.timeout(ANSWER_DEADLINE):
                        await self._recover()
                while self._queued:
                    await self._write()
                failures = 0
                self._set_connected(connected=True)
            except (RedisError, OSError, TimeoutError) as error:
                failures += 1
                self._set_connected(connected=False)
                log.warning("bus write failed, trying again", error=str(error), queued=self._queued, failures=failures)
                self._wake.set()
                await self._clock.sleep(self._random.uniform(0.0, min(5.0, 0.05 * 2 ** min(failures, 10))))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    def _set_connected(self, *, connected: bool) -> None:
        if connected and not self.connected:
            metrics.BUS_RECONNECTS.inc()
            log.info("bus reached again")
        self.connected = connected
        metrics.BUS_CONNECTED.set(connected)

    async def _recover(self) -> None:
        """After a break: find out for every stream what the server still has, and queue the rest again."""
        self._listed.clear()
        for stream in self._streams.values():
            stream.expected = None
            await self._align(stream, await self._client.get(stream.head_key) or b"")

    async def _align(self, stream: _Stream, token: bytes) -> None:
        """Bring a stream's outbox behind the head that the server really has."""
        head = await read_head(self._client, stream.name, token)
        gone = len(stream.ring) if head is None else sum(frame.entry > head.entry for frame in stream.ring)
        for _ in range(gone):
            frame = stream.ring.pop()
            self._ring_bytes -= len(frame.payload)
            self._queued += frame.weight
            stream.outbox.appendleft(frame)
        if gone:
            metrics.RESENT.inc(gone)
            log.warning("the bus had lost frames, writing them again", stream=stream.name, frames=gone)
        while head and stream.outbox and stream.outbox[0].entry <= head.entry:
            if not await landed(self._client, stream.name, stream.outbox[0]):
                break
            self._confirm(stream)
        stream.follow(head, self._clock.now() // MILLISECOND)

    async def _write(self) -> None:
        """Write what is queued in one round trip."""
        if not self._script:
            self._script = await self._client.script_load(SCRIPT)
        now_ms = self._clock.now() // MILLISECOND
        commands: list[Command] = []
        sent: list[tuple[_Stream, int]] = []
        new: list[str] = []
        for stream in [stream for stream in self._streams.values() if stream.queue or stream.outbox]:
            if stream.expected is None:
                await self._align(stream, await self._client.get(stream.head_key) or b"")
            stream.cut(now_ms)
            sent.append((stream, self._send(stream, commands)))
            if stream.name not in self._listed:
                new.append(stream.name)
        market = [name for name in new if self._names.parse(name)]
        if market:
            commands.append(("SADD", self._names.directory, *market))
        started = self._clock.monotonic()
        answers = await self._wire.call(commands)
        metrics.PUBLISH_SECONDS.observe(self._clock.monotonic() - started)
        position = 0
        for stream, count in sent:
            await self._settle(stream, answers[position : position + count])
            position += count
        if market and isinstance(answers[position], Exception):
            raise answers[position]
        self._listed.update(new)

    def _send(self, stream: _Stream, commands: list[Command]) -> int:
        """Add a stream's unconfirmed frames to the commands, each expecting the one before it as head."""
        token = stream.expected or b""
        for frame in stream.outbox:
            seq = str(frame.seq)
            values = (token, frame.id, seq, frame.count, frame.payload)
            if stream.fence is None:
                commands.append(("EVALSHA", self._script, 2, stream.name, stream.head_key, *values))
            else:
                key, owner = stream.fence
                commands.append(("EVALSHA", self._script, 3, stream.name, stream.head_key, key, *values, owner))
            token = f"{frame.id} {seq}".encode()
        return len(stream.outbox)

    async def _settle(self, stream: _Stream, answers: Sequence[Any]) -> None:
        """Take the server's word on each frame; where another writer came first, line up behind it."""
        for answer in answers:
            if isinstance(answer, NoScriptError):
                self._script = ""
                return
            if isinstance(answer, Exception):
                raise answer
            if answer == FENCED:
                self._drop(stream)
                return
            if answer != 1:
                log.info("stream has another head than expected", stream=stream.name, head=answer)
                await self._align(stream, answer)
                return
            self._confirm(stream)

    def _drop(self, stream: _Stream) -> None:
        """Another process publishes this stream now, from the same feeds: what waits here is its to publish."""
        frames, events = list(stream.outbox), list(stream.queue)
        count = sum(frame.count for frame in frames) + len(events)
        log.warning("another process publishes this stream", stream=stream.name, events_dropped=count)
        metrics.FENCED.labels(stream.name).inc(count)
        stream.outbox.clear()
        stream.queue.clear()
        stream.expected = None
        self._settled(sum(frame.weight for frame in frames) + sum(map(_weight, events)))

    def _confirm(self, stream: _Stream) -> None:
        """The first frame of the outbox stands on the stream: count it, keep it in the ring, make room."""
        frame = stream.outbox.popleft()
        stream.expected = f"{frame.id} {frame.seq}".encode()
        stream.ring.append(frame)
        self._ring_bytes += len(frame.payload)
        while self._ring_bytes > RING_BYTES:
            self._forget_oldest()
        metrics.PUBLISHED.labels(stream.name).inc(frame.count)
        metrics.FRAMES.labels(stream.name).inc()
        self._settled(frame.weight)

    def _settled(self, weight: int) -> None:
        """Make room: this much does not wait any more."""
        self._queued -= weight
        metrics.PUBLISH_QUEUE.set(self._queued)
        if self._queued < QUEUE_LIMIT:
            self._room.set()
        if not self._queued:
            self._idle.set()

    def _forget_oldest(self) -> None:
        """Drop the oldest frame of the stream whose ring is fullest."""
        fullest = max(self._streams.values(), key=lambda stream: len(stream.ring))
        self._ring_bytes -= len(fullest.ring.popleft().payload)
