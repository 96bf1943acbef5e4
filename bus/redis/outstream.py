"""One stream's way out of this process: what waits, what is under way, and what has landed."""

from collections import deque
from itertools import groupby, islice
from typing import Final, NamedTuple

from bus.events import Book, Candle, Event
from bus.frames import MAX_EVENTS, encode_events
from bus.redis.append import EntryId, Head, OutFrame, head_key, next_id, renumber

FRAMES_PER_WRITE: Final = 64
LEVELS_PER_UNIT: Final = 8


def weight(event: Event) -> int:
    """Return how many events an event counts for: a book counts by its levels."""
    return 1 + (len(event.bids) + len(event.asks)) // LEVELS_PER_UNIT if type(event) is Book else 1


def fenced(event: Event) -> bool:
    """Tell whether only who publishes the feeds may write an event: what a handler derives from them is its own."""
    return type(event) is not Candle or event.source != "derived"


class Fence(NamedTuple):
    """The lease that a stream's writer must hold: its key and who should have it."""

    key: str
    owner: str


class OutStream:
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
            under_fence = fenced(self.queue[0])
            count = min(len(self.queue), MAX_EVENTS)
            if type(self.queue[0]) is Candle:
                _, alike = next(groupby(islice(self.queue, count), fenced))
                count = len([*alike])
            events = [self.queue.popleft() for _ in range(count)]
            self.last = next_id(self.last, now_ms)
            self.seq += 1
            total = sum(map(weight, events))
            self.outbox.append(OutFrame(self.last, self.seq, count, total, encode_events(events), under_fence))

    def drop_fenced(self) -> tuple[int, int]:
        """Let go of what another process publishes; return how many events that were, and their weight."""
        frames, events = list(self.outbox), list(self.queue)
        self.outbox = deque(frame for frame in frames if not frame.fenced)
        self.queue = deque(event for event in events if not fenced(event))
        self.expected = None
        count = sum(frame.count for frame in frames if frame.fenced) + len(events) - len(self.queue)
        total = sum(frame.weight for frame in frames if frame.fenced)
        return count, total + sum(weight(event) for event in events if fenced(event))

    def follow(self, head: Head | None, now_ms: int) -> None:
        """Line the outbox up behind the server's head."""
        self.expected = head.token if head else b""
        renumber(self.outbox, head, now_ms)
        if self.outbox:
            self.last, self.seq = self.outbox[-1].entry, self.outbox[-1].seq
        elif head:
            self.last, self.seq = head.entry, head.seq
