"""The event bus as everybody sees it; `bus.redis` and `bus.local` implement it and pass one contract suite."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from bus.events import Event
from bus.frames import Frame
from bus.handler import StateStore
from bus.part import WHOLE, Part
from bus.streams import StreamNames


class Group(msgspec.Struct, frozen=True):
    """A consumer group: which streams it reads and where it starts when it is new."""

    name: str
    channels: frozenset[str]
    system: bool = False
    start_at: Literal["beginning", "now"] = "beginning"
    batch_events: int = 5_000
    commands: bool = False
    part: Part = WHOLE
    by_exchange: bool = False
    """Whether a part has all streams of an exchange, or each by itself."""


class Loss(msgspec.Struct, frozen=True):
    """Frames that vanished before a group could read them (trimmed away): frame numbers and times (ns), inclusive."""

    stream: str
    from_seq: int
    to_seq: int
    from_ts: int
    to_ts: int


class Delivery(msgspec.Struct, frozen=True):
    """What one read gave: frames in order per stream, and frames noticed missing before them.

    `complete`: false while some stream has not yet answered, since the last `look_again`, that it has nothing.
    """

    frames: list[Frame]
    losses: Sequence[Loss] = ()
    complete: bool = True


class Consumer(Protocol):
    """The reading end of one group. One task reads it: own pending frames first, then new ones as they come."""

    async def read(self, wait: float) -> Delivery:
        """Return the next frames, or an empty delivery after `wait` seconds. Raises BusUnavailable.

        Entries that are no frames at all are dead-lettered on the way. Frames come back until acknowledged: after
        a restart of the process, and (claimed) when another consumer of the group has died holding them.
        """
        ...

    def look_again(self) -> None:
        """Have the next read pick up streams that have appeared, which it otherwise does every now and then."""
        ...

    async def ack(self, frames: Sequence[Frame]) -> None:
        """Acknowledge frames: they never come back to this group. Raises BusUnavailable."""
        ...

    async def rewind(self) -> None:
        """Forget the place: the next read starts with everything delivered and not acknowledged."""
        ...

    async def close(self) -> None:
        """Stop reading; what is not acknowledged stays pending."""
        ...


class Lease(Protocol):
    """The right to act, where several processes could: to publish an exchange's feeds, to run a handler."""

    @property
    def lifetime(self) -> float:
        """Seconds after a renewal during which nobody else can have it."""
        ...

    async def renew(self) -> bool:
        """Take or keep it where nobody else has it, and say whether it is held. Raises BusUnavailable."""
        ...

    async def wanted(self) -> bool:
        """Say whether another process waits to take over. Raises BusUnavailable."""
        ...

    async def release(self) -> None:
        """Give it up. Raises BusUnavailable."""


class EventBus(Protocol):
    """Publishes events onto streams and hands out consumers."""

    names: StreamNames

    @property
    def state(self) -> StateStore:
        """Where handlers keep what must survive a restart."""
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Queue events for their streams, in order. Returns at once while there is room, waits when there is none.

        Before it waits, book updates that wait are summed up, marked `derived`; trades and all else never are.
        A queued event is written exactly once, through reconnections and server restarts, until `close`.
        Raises BusUnavailable when the bus has been closed.
        """
        ...

    def lease(self, name: str, part: Part = WHOLE) -> Lease:
        """Return this process's claim to something that one process does at a time, or to one part of it."""
        ...

    def fence(self, exchange: str, lease: Lease) -> None:
        """From now on write nothing to an exchange's market streams while another process holds a lease."""
        ...

    async def tail(self, exchange: str, channel: str, since: int) -> list[Event]:
        """Return what stands on a market stream since a time (ns), oldest first. Raises BusUnavailable."""
        ...

    async def newest(self, stream: str) -> Event | None:
        """Return the last event that stands on a stream, None where there is none. Raises BusUnavailable."""
        ...

    async def flush(self, deadline: float) -> None:
        """Wait until everything queued stands on the streams. Raises BusUnavailable after `deadline` seconds."""
        ...

    async def consumer(self, group: Group) -> Consumer:
        """Open the reading end of a group, creating the group on every stream that it does not have yet."""
        ...

    async def close(self) -> None:
        """Flush what can be flushed within a short deadline, then let go of the connection."""
        ...
