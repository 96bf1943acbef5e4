"""How one symbol's book deltas are aligned with a REST snapshot, and what happens when one is missing.

A break concerns that symbol alone: its deltas are buffered, a snapshot is asked for, and when the snapshot reaches
into the buffer it is published with the deltas that follow it.
"""

from bisect import insort
from collections.abc import Callable
from operator import attrgetter
from typing import Final

import msgspec

from bus.clock import SECOND
from bus.errors import MalformedFrame
from bus.events import Book

MAX_BUFFERED: Final = 5_000
"""Deltas held while waiting for a snapshot: over eight minutes at ten a second."""
RESTARTED: Final = SECOND
"""Exchange time, ns, by which a delta with an old id must be later than the newest one to be no repetition of it."""
BEHIND: Final = 60 * SECOND
"""The same while a stream has not reached its snapshot yet: REST can be so far ahead of a slow connection."""

_by_last_id = attrgetter("last_id")


class BookSync:
    """The position of one symbol's book. Deltas carry `first_id` and `last_id`; `ask` asks for a snapshot.

    The rule is Binance's, https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
    "How to manage a local order book correctly": the first delta after snapshot `id` has first_id <= id + 1 and
    last_id > id, and each one after it begins at most one above its predecessor's end. `linked`: a delta says itself
    which id it follows on (`prev_id`), so that it begins one above that one, whatever its first_id is.
    """

    def __init__(self, ask: Callable[[], None], *, linked: bool = False) -> None:
        self._ask = ask
        self._linked = linked
        self._buffer: list[Book] = []
        self._asked = False
        self._time: int | None = None
        """The exchange time of the newest delta taken or, where none has reached the snapshot, held."""
        self._reached = False
        """Whether a delta has followed on the snapshot."""
        self.last_id: int | None = None
        """The id that the published book stands at, None while it waits for a snapshot."""

    def delta(self, delta: Book) -> list[Book]:
        """Return what a delta gives rise to: itself, or nothing when it is old or has to wait.

        After a break `last_id` is None; nothing with `last_id` set means that the delta was a duplicate.
        """
        first, last = self._ids(delta)
        if self.last_id is None:
            self._wait(delta)
            return []
        begun_anew = last <= self.last_id and _is_later(delta, self._time, RESTARTED if self._reached else BEHIND)
        if last <= self.last_id and not begun_anew:
            return []
        if begun_anew or first > self.last_id + 1:
            self.last_id = None
            self._wait(delta)
            return []
        self.last_id, before, self._time, self._reached = last, self.last_id, delta.ts, True
        return [delta if delta.prev_id == before else msgspec.structs.replace(delta, prev_id=before)]

    def snapshot(self, snapshot: Book) -> list[Book]:
        """Return the snapshot and the buffered deltas that follow it; nothing when it is too old or not wanted.

        One that is too old is asked for again.
        """
        self._asked = False
        if self.last_id is not None or not self._buffer:
            return []
        _, last = self._ids(snapshot)
        tail = self._contiguous_tail()
        if last + 1 < self._ids(tail[0])[0]:
            self._request()
            return []
        events = [snapshot]
        for delta in tail:
            end = self._ids(delta)[1]
            if end > last:
                events.append(msgspec.structs.replace(delta, prev_id=last))
                last = end
        self.last_id, self._time, self._reached = last, tail[-1].ts, len(events) > 1
        self._buffer = []
        return events

    def failed(self) -> None:
        """Say that the snapshot will not come; the next delta asks again."""
        self._asked = False

    def reset(self) -> None:
        """Start anew: nobody delivers this book any more."""
        self.last_id = None
        self._buffer = []
        self._asked = False

    def _wait(self, delta: Book) -> None:
        newest = self._buffer[-1] if self._buffer else delta
        if self._ids(delta) < self._ids(newest) and _is_later(delta, newest.ts, RESTARTED):
            self._buffer = []  # the exchange has begun to count anew: no snapshot reaches what waits
        insort(self._buffer, delta, key=_by_last_id)
        if len(self._buffer) > MAX_BUFFERED:
            del self._buffer[: MAX_BUFFERED // 2]
            self._asked = False  # an answer that took this long will not come
        if not self._asked:
            self._request()

    def _request(self) -> None:
        self._asked = True
        self._ask()

    def _contiguous_tail(self) -> list[Book]:
        """Return the end of the buffer behind its last hole: a snapshot from before the hole would be of no use."""
        start = len(self._buffer) - 1
        while start > 0 and self._ids(self._buffer[start - 1])[1] + 1 >= self._ids(self._buffer[start])[0]:
            start -= 1
        return self._buffer[start:]

    def _ids(self, event: Book) -> tuple[int, int]:
        """Return where a message begins and ends; a snapshot has its last id alone."""
        last, first = event.last_id, event.first_id
        if last is None:
            raise MalformedFrame("a book message without an update id cannot be aligned")
        if self._linked and event.prev_id is not None:
            first = event.prev_id + 1
        return (last if first is None else first), last


def _is_later(delta: Book, time: int | None, margin: int) -> bool:
    """Whether an old id comes with a new time: the exchange has begun to count anew."""
    return delta.ts is not None and time is not None and delta.ts > time + margin
