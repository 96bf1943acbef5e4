"""Writes events to streams: adaptive frames, exactly once, bounded memory, through every reconnection.

What was queued while the last write was under way goes out in the next: an idle bus adds no latency, a busy one
shares the round trip among many events. Sent frames stay in a ring, so that whatever a restarted server has lost is
written again with its old ids.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import structlog
from redis.exceptions import NoScriptError, RedisError

from bus import metrics
from bus.clock import MILLISECOND, Clock
from bus.errors import BusUnavailable, said
from bus.events import Book, Event, MarketEvent
from bus.frames import decode_events
from bus.redis.append import (
    FENCED,
    SCRIPT,
    UNHELD,
    OutFrame,
    landed,
    read_head,
)
from bus.redis.conflation import conflate
from bus.redis.connection import ANSWER_DEADLINE, Client
from bus.redis.outstream import Fence, OutStream, weight
from bus.redis.overflow import Overflow
from bus.redis.wire import Command, open_wire
from bus.streams import StreamNames

log = structlog.get_logger(__name__)

QUEUE_LIMIT: Final = 100_000
"""Events (a book counts by its levels) that may wait before publishers do."""
CONFLATED_AT_ONCE: Final = 10_000
"""How much must have come of books, counted in the same way, before it is worth summing them up again."""
SPOOL_AT: Final = 20_000
"""Events that wait in memory while the server is away, before further ones go to the disk."""
LEASE_PAUSE: Final = 0.1
"""Seconds between two attempts while nobody holds the lease that a stream needs."""
RING_BYTES: Final = 64 * 1024 * 1024
"""Sent frames kept for a server that has lost its newest data, in all streams together."""


class Publisher:
    """The writer of one process. One task writes; everybody else queues."""

    def __init__(self, client: Client, names: StreamNames, clock: Clock, random: Random, writer: str) -> None:
        """`writer`: a name that no other writer has, without spaces."""
        self._client = client
        self._writer = writer
        self._wire = open_wire(client)
        self._names = names
        self._clock = clock
        self._random = random
        self._streams: dict[str, OutStream] = {}
        self._routes: dict[tuple[str, type], OutStream] = {}
        self._listed: set[str] = set()
        self._fences: dict[str, Callable[[str], Fence]] = {}
        self._queued = 0
        self._books = 0
        """What has been queued of books since they were summed up last."""
        self._ring_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._script = ""
        self._overflow: Overflow | None = None
        self._unheld = False
        self.trouble = ""
        """Why the last write failed, while none has succeeded since."""
        metrics.PUBLISH_QUEUE_LIMIT.set(QUEUE_LIMIT)

    def _route(self, event: Event) -> OutStream:
        key = (getattr(event, "exchange", ""), type(event))
        stream = self._routes.get(key)
        if stream is None:
            name = self._names.of(event)
            fence = self._fences.get(key[0]) if isinstance(event, MarketEvent) else None
            stream = self._streams.setdefault(name, OutStream(name, fence(name) if fence else None))
            self._routes[key] = stream
        return stream

    def fence(self, exchange: str, fence: Callable[[str], Fence]) -> None:
        """From now on write an exchange's market streams only while the lease of each is held."""
        self._fences[exchange] = fence
        for (named, _), stream in self._routes.items():
            if named == exchange and self._names.parse(stream.name):
                stream.fence = fence(stream.name)

    def use(self, overflow: Overflow) -> None:
        """From now on keep events there while the server is away; what waits there already goes out first."""
        self._overflow = overflow
        if not overflow.empty:
            self._idle.clear()
            self._wake.set()

    @property
    def _drained(self) -> bool:
        """Whether nothing waits on the disk."""
        return self._overflow is None or self._overflow.empty

    def _overflow_for_now(self) -> Overflow | None:
        """Return where events go in place of memory: older ones wait there, or the server is away for long."""
        away = not self.connected and self._queued >= SPOOL_AT
        return self._overflow if away or not self._drained else None

    async def publish(self, events: Sequence[Event]) -> None:
        """Queue events; wait for room when the bound is reached."""
        if not events:
            return
        while (overflow := self._overflow_for_now()) is not None:
            if await overflow.put(events):
                self._wake.set()
                self._idle.clear()
                return
        self._queue(events)
        if self._queued >= QUEUE_LIMIT and self._books >= CONFLATED_AT_ONCE:
            self._conflate()
        if self._queued >= QUEUE_LIMIT:
            self._room.clear()
            started = self._clock.monotonic()
            await self._room.wait()
            metrics.PUBLISH_BLOCKED.inc(self._clock.monotonic() - started)

    def _queue(self, events: Sequence[Event]) -> None:
        for event in events:
            self._route(event).queue.append(event)
            units = weight(event)
            self._queued += units
            if type(event) is Book:
                self._books += units
        self._wake.set()
        self._idle.clear()

    def _conflate(self) -> None:
        """Make room by summing up the book updates that wait, before any publisher does."""
        self._books = 0
        for stream in self._streams.values():
            if stream.queue and type(stream.queue[0]) is Book:
                events = conflate(stream.queue)
                metrics.CONFLATED.labels(stream.name).inc(len(stream.queue) - len(events))
                freed = sum(map(weight, stream.queue)) - sum(map(weight, events))
                stream.queue = deque(events)
                self._settled(freed)

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
                while self._queued or not self._drained:
                    if not self._queued and self._overflow is not None:
                        self._queue(await self._overflow.next())
                        self._settled(0)
                    if self._queued:
                        await self._write()
                    if self._unheld:
                        self._unheld = False
                        await self._clock.sleep(LEASE_PAUSE)
                failures = 0
                self._note("")
            except (RedisError, OSError, TimeoutError) as error:
                failures += 1
                self._note(said(error))
                log.warning("bus write failed, trying again", error=str(error), queued=self._queued, failures=failures)
                self._wake.set()
                await self._clock.sleep(self._random.uniform(0.0, min(5.0, 0.05 * 2 ** min(failures, 10))))

    async def close(self) -> None:
        """Let go of the connection; what could not be written is spooled for the next process."""
        await self._wire.close()
        if self._overflow is not None:
            self._overflow.close(self._unwritten())

    def _unwritten(self) -> list[Event]:
        frames = [(stream, frame) for stream in self._streams.values() for frame in stream.outbox]
        sent = [event for _, frame in frames for event in decode_events(frame.payload)]
        return [*sent, *(event for stream in self._streams.values() for event in stream.queue)]

    @property
    def connected(self) -> bool:
        """Whether the last write reached the server."""
        return not self.trouble

    def _note(self, trouble: str) -> None:
        """Keep why a write failed, or that one has succeeded."""
        if self.trouble and not trouble:
            metrics.BUS_RECONNECTS.inc()
            log.info("bus reached again")
        self.trouble = trouble
        metrics.BUS_CONNECTED.set(self.connected)

    async def _recover(self) -> None:
        """After a break: find out for every stream what the server still has, and queue the rest again."""
        self._listed.clear()
        for stream in self._streams.values():
            stream.expected = None
            await self._align(stream, await self._client.get(stream.head_key) or b"")

    async def _align(self, stream: OutStream, token: bytes) -> None:
        """Bring a stream's outbox behind the head that the server really has."""
        if not token:  # an emptied server has lost the names as well; a reader may have made the stream again
            self._listed.clear()
        head = await read_head(self._client, stream.name, token)
        gone = len(stream.ring) if head is None else sum(frame.entry > head.entry for frame in stream.ring)
        for _ in range(gone):
            frame = stream.ring.pop()
            self._ring_bytes -= frame.size
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
        sent: list[tuple[OutStream, int]] = []
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

    def _send(self, stream: OutStream, commands: list[Command]) -> int:
        """Add a stream's unconfirmed frames to the commands, each expecting the one before it as head."""
        token = stream.expected or b""
        for frame in stream.outbox:
            seq = str(frame.seq)
            after = self._token(frame)
            values = (token, frame.id, seq, frame.count, frame.payload, after)
            if stream.fence is None or not frame.fenced:
                commands.append(("EVALSHA", self._script, 2, stream.name, stream.head_key, *values))
            else:
                key, owner = stream.fence
                commands.append(("EVALSHA", self._script, 3, stream.name, stream.head_key, key, *values, owner))
            token = after
        return len(stream.outbox)

    def _token(self, frame: OutFrame) -> bytes:
        """Return the head that a frame of ours makes."""
        return f"{frame.id} {frame.seq} {self._writer}".encode()

    async def _settle(self, stream: OutStream, answers: Sequence[Any]) -> None:
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
            if answer == UNHELD:
                self._unheld = True
                return
            if answer != 1:
                log.info("stream has another head than expected", stream=stream.name, head=answer)
                await self._align(stream, answer)
                return
            self._confirm(stream)

    def _drop(self, stream: OutStream) -> None:
        """Another process publishes this stream now, from the same feeds: what waits here is its to publish."""
        count, freed = stream.drop_fenced()
        log.warning("another process publishes this stream", stream=stream.name, events_dropped=count)
        metrics.FENCED.labels(stream.name).inc(count)
        self._settled(freed)

    def _confirm(self, stream: OutStream) -> None:
        """The first frame of the outbox stands on the stream: count it, keep it in the ring, make room."""
        frame = stream.outbox.popleft()
        stream.expected = self._token(frame)
        stream.ring.append(frame)
        self._ring_bytes += frame.size
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
        if not self._queued and self._drained:
            self._idle.set()

    def _forget_oldest(self) -> None:
        """Drop the oldest frame of the stream whose ring is fullest."""
        fullest = max(self._streams.values(), key=lambda stream: len(stream.ring))
        self._ring_bytes -= fullest.ring.popleft().size
