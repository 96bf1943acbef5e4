"""Reads streams for one consumer group over one connection: nothing skipped or lost unnoticed, in order per stream."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import Enum, auto
from typing import Any, Final, TypeAlias

import structlog
from redis.exceptions import ResponseError

from bus import metrics
from bus.clock import MILLISECOND, Clock
from bus.errors import Poison
from bus.events import Dead, Event
from bus.frames import Frame
from bus.interface import Delivery, Group, Loss
from bus.redis.append import parse_id
from bus.redis.connection import ANSWER_DEADLINE, Client, reaching
from bus.redis.frame_cache import FrameCache
from bus.redis.wire import Command, open_wire

log = structlog.get_logger(__name__)

Entry: TypeAlias = tuple[bytes, dict[bytes, bytes] | None]
Answer: TypeAlias = Sequence[tuple[bytes, Sequence[Entry]]]

CLAIM_INTERVAL: Final = 15.0
CLAIM_IDLE: Final = 60.0
"""Seconds after which an entry that another consumer holds counts as stuck."""
EVENTS_PER_FRAME_AT_FIRST: Final = 8.0


class _Way(Enum):
    """How entries come to a reader."""

    NEW = auto()
    AGAIN = auto()
    """Given to this consumer before, and not acknowledged."""
    CLAIMED = auto()
    """From a consumer that died: out of sequence."""


class _Cursor:
    """How far one stream is read: `seen` the last frame delivered, `pending` where re-reading our own stands."""

    __slots__ = ("acked", "pending", "seen_entry", "seen_seq")

    def __init__(self, entry: str, seq: int) -> None:
        self.acked = entry
        self.seen_entry = entry
        self.seen_seq = seq
        self.pending: str | None = "0"

    def leaps_to(self, frame: Frame) -> bool:
        """Whether frames lie between the last one delivered and this one, by their numbers."""
        return 0 < self.seen_seq < frame.seq - 1

    def saw(self, frame: Frame) -> None:
        if frame.seq > self.seen_seq or parse_id(frame.entry) > parse_id(self.seen_entry):
            self.seen_entry, self.seen_seq = frame.entry, frame.seq


class GroupReader:
    """Reads the streams that it is told to; on a cluster they all lie in one slot. One task at a time reads."""

    def __init__(
        self,
        client: Client,
        url: str,
        group: Group,
        instance: str,
        clock: Clock,
        frames: FrameCache,
        publish: Callable[[Sequence[Event]], Awaitable[None]],
    ) -> None:
        self._client = client
        self._wire = open_wire(client)
        self._url = url
        self._group = group
        self._instance = instance
        self._clock = clock
        self._frames = frames
        self._publish = publish
        self._cursors: dict[str, _Cursor] = {}
        self._acks: list[Frame] = []
        self._next_claim = clock.monotonic() + CLAIM_INTERVAL
        self._events_per_frame = EVENTS_PER_FRAME_AT_FIRST

    @property
    def streams(self) -> Collection[str]:
        """The streams that are read."""
        return self._cursors.keys()

    async def read(self, wait: float, among: int) -> Delivery:
        """Return the next frames; see `bus.interface.Consumer.read`. `among`: streams that share a batch."""
        async with reaching(self._url, wait + ANSWER_DEADLINE):
            count = max(1, min(1_000, round(self._group.batch_events / self._events_per_frame / among)))
            if any(cursor.pending is not None for cursor in self._cursors.values()):
                await self._send_acks()
                delivery = await self._read_own_pending(count)
                if delivery.frames or delivery.losses:
                    return delivery
            if self._clock.monotonic() >= self._next_claim:
                await self._send_acks()
                self._next_claim = self._clock.monotonic() + CLAIM_INTERVAL
                delivery = await self._claim_stuck(count)
                if delivery.frames:
                    return delivery
            return await self._read_new(wait, count)

    def ack(self, frames: Sequence[Frame]) -> None:
        """Acknowledge frames; the word travels with the next read, or with `close`."""
        self._acks.extend(frames)

    def rewind(self) -> None:
        """Start again with everything delivered and not acknowledged."""
        for cursor in self._cursors.values():
            cursor.pending = "0"

    async def close(self) -> None:
        """Send what was acknowledged last."""
        try:
            async with reaching(self._url):
                await self._send_acks()
        finally:
            await self._wire.close()

    # streams and groups

    def _cursor_key(self, stream: str) -> str:
        return "{" + stream + "}:cursor"

    async def open(self, stream: str, *, from_now: bool) -> None:
        """Read one more stream: on from where the group is, or else from its beginning or from now."""
        saved = await self._client.hget(self._cursor_key(stream), self._group.name)
        if saved:
            entry, _, seq = saved.decode().partition(" ")
            cursor = _Cursor(entry, int(seq))
        else:
            cursor = _Cursor("0", 0)
        await self._ensure_group(stream, "$" if from_now and not saved else cursor.acked)
        self._cursors[stream] = cursor

    async def _ensure_group(self, stream: str, start: str) -> None:
        try:
            await self._client.xgroup_create(stream, self._group.name, id=start, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _recreate_groups(self) -> None:
        """A stream or its group has vanished: create the groups again from what we have acknowledged, never at `$`."""
        log.warning("consumer group is gone, creating it again", group=self._group.name)
        for stream, cursor in self._cursors.items():
            await self._ensure_group(stream, cursor.acked)
            cursor.pending = "0"
        await self._clock.sleep(0.1)

    # reading

    async def _read_own_pending(self, count: int) -> Delivery:
        """Read what this consumer was given and has not acknowledged, as after a crash."""
        cursors = {name: cursor.pending for name, cursor in self._cursors.items() if cursor.pending is not None}
        answer = await self._guarded(self._client.xreadgroup(self._group.name, self._instance, cursors, count=count))
        if answer is None:
            return Delivery([])
        for name, entries in answer:
            stream = name.decode()
            self._cursors[stream].pending = entries[-1][0].decode() if entries else None
        return await self._deliver(answer, _Way.AGAIN)

    async def _claim_stuck(self, count: int) -> Delivery:
        """Take over what a consumer that died is holding."""
        claimed: list[tuple[bytes, Sequence[Entry]]] = []
        for stream in self._cursors:
            answer = await self._guarded(
                self._client.xautoclaim(stream, self._group.name, self._instance, int(CLAIM_IDLE * 1000), count=count)
            )
            if answer and answer[1]:
                # Redis 6.2 gives deleted entries as nil
                claimed.append((stream.encode(), [entry for entry in answer[1] if entry is not None]))
        return await self._deliver(claimed, _Way.CLAIMED)

    async def _read_new(self, wait: float, count: int) -> Delivery:
        commands = self._ack_commands()
        acks = len(self._acks)
        commands.append((
            "XREADGROUP", "GROUP", self._group.name, self._instance, "COUNT", count,
            "BLOCK", max(1, round(wait * 1000)), "STREAMS", *self._cursors, *[">"] * len(self._cursors),
        ))  # fmt: skip
        answers = await self._wire.call(commands, wait)
        for refusal in answers:
            if isinstance(refusal, ResponseError):
                await self._refused(refusal)
                return Delivery([], complete=False)
        del self._acks[:acks]
        return await self._deliver([(name, _entries(entries)) for name, entries in answers[-1] or []], _Way.NEW)

    async def _guarded(self, command: Awaitable[Any]) -> Any:
        try:
            return await command
        except ResponseError as error:
            await self._refused(error)
            return None

    async def _refused(self, error: ResponseError) -> None:
        """Redis 7 says UNBLOCKED where 6.2 says NOGROUP when a stream vanishes; anything else is trouble."""
        text = str(error)
        if not ("NOGROUP" in text or "UNBLOCKED" in text or "no longer exists" in text):
            raise error
        await self._recreate_groups()

    async def _deliver(self, answer: Answer, way: _Way) -> Delivery:
        frames: list[Frame] = []
        losses: list[Loss] = []
        for name, entries in answer:
            stream = name.decode()
            cursor = self._cursors[stream]
            for entry_id, fields in entries:
                entry = entry_id.decode()
                frame = await self._decode(stream, entry, fields)
                if frame is None:
                    continue
                if way is not _Way.CLAIMED:
                    if cursor.leaps_to(frame):
                        if not await self._stands_between(cursor, frame):
                            losses.append(self._loss(cursor, frame))
                        elif way is _Way.NEW:
                            # given to a process that stood still and took itself for this one: read there, in order
                            cursor.pending = cursor.seen_entry
                            break
                    cursor.saw(frame)
                frames.append(frame)
        if frames:
            average = sum(len(frame.events) for frame in frames) / len(frames)
            self._events_per_frame += 0.2 * (max(1.0, average) - self._events_per_frame)
        return Delivery(frames, losses)

    async def _decode(self, stream: str, entry: str, fields: dict[bytes, bytes] | None) -> Frame | None:
        """Decode an entry; what cannot be read goes to the dead-letter stream."""
        if not fields:  # trimmed away while it was pending: its number is missed by the next frame
            self._acks.append(Frame(stream, entry, 0, []))
            return None
        try:
            frame, bad = self._frames.decode(stream, entry, fields)
        except Poison as error:
            await self._dead(entry, f"{stream}/{entry}", str(error), fields.get(b"events", repr(fields).encode()))
            self._acks.append(Frame(stream, entry, 0, []))
            return None
        for one in bad:
            await self._dead(entry, f"{stream}/{entry}#{one.index}", one.reason, one.payload)
        return frame

    async def _dead(self, entry: str, origin: str, reason: str, payload: bytes) -> None:
        metrics.DEAD.labels(self._group.name).inc()
        ts = parse_id(entry)[0] * MILLISECOND
        await self._publish([Dead(ts, f"{self._group.name}:{origin}", origin, self._group.name, reason, payload)])

    async def _stands_between(self, cursor: _Cursor, frame: Frame) -> bool:
        """Say whether something still stands between the last frame delivered and this one."""
        between = f"({cursor.seen_entry}", f"({frame.entry}"
        return bool(await self._client.xrange(frame.stream, *between, count=1))

    def _loss(self, cursor: _Cursor, frame: Frame) -> Loss:
        """Count the frames up to this one as trimmed away."""
        first = cursor.seen_seq + 1
        metrics.LOST_FRAMES.labels(self._group.name).inc(frame.seq - first)
        before, after = (parse_id(entry)[0] * MILLISECOND for entry in (cursor.seen_entry, frame.entry))
        return Loss(frame.stream, first, frame.seq - 1, before, after)

    # acknowledging

    def _ack_commands(self) -> list[Command]:
        """Return the commands that acknowledge, and that note how far each stream is read."""
        commands: list[Command] = []
        by_stream: dict[str, list[Frame]] = {}
        for frame in self._acks:
            by_stream.setdefault(frame.stream, []).append(frame)
        for stream, frames in by_stream.items():
            commands.append(("XACK", stream, self._group.name, *[frame.entry for frame in frames]))
            last = max(frames, key=lambda frame: parse_id(frame.entry)) if len(frames) > 1 else frames[0]
            cursor = self._cursors[stream]
            if last.seq and parse_id(last.entry) > parse_id(cursor.acked):
                cursor.acked = last.entry
                commands.append(("HSET", self._cursor_key(stream), self._group.name, f"{last.entry} {last.seq}"))
        return commands

    async def _send_acks(self) -> None:
        if self._acks:
            acks = len(self._acks)
            for answer in await self._wire.call(self._ack_commands()):
                if isinstance(answer, ResponseError):
                    raise answer
            del self._acks[:acks]


def _entries(raw: Sequence[tuple[bytes, list[bytes]]]) -> list[Entry]:
    """Pair the fields of entries as they come off the wire: name, value, name, value."""
    return [(entry, dict(zip(flat[::2], flat[1::2], strict=True)) if flat else None) for entry, flat in raw]
