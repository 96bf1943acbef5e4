"""What has been published already: overlapping connections deliver everything twice, subscribers get it once."""

from bisect import bisect_right
from collections import deque
from decimal import Decimal
from typing import Final

from bus.clock import SECOND

MAX_RANGES: Final = 10_000
"""Ranges of missing ids that are remembered; ids below a forgotten one count as new (the database knows better)."""
OUTDATED: Final = 10 * SECOND
"""How long (ns, receive time) what is older than the newest message is dropped."""
CLOSED_REMEMBERED: Final = 16
"""Closed candles that are remembered for each feed."""
RECENT_REMEMBERED: Final = 10_000
"""Ids without an order that are remembered for each feed: more than come while two connections overlap."""


class IdFilter:
    """Exact memory of rising ids: the last one, and the ranges below it that have not come.

    An id that was missing is new however late it comes; so is everything from before the first one.
    """

    def __init__(self) -> None:
        self.last = -1
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._floor = 0

    def seen(self, identity: int) -> bool:
        """Return whether this id came before, and remember it."""
        if identity > self.last:
            if identity != self.last + 1:
                self._insert(len(self._starts), self.last + 1, identity - 1)
            self.last = identity
            return False
        return self._fill(identity)

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the ranges between two ids, both included, that have not come."""
        known = zip(self._starts, self._ends, strict=True)
        found = [(max(start, first), min(end, last)) for start, end in known if start <= last and end >= first]
        return [*found, (max(first, self.last + 1), last)] if self.last < last else found

    def _fill(self, identity: int) -> bool:
        """Take an id out of the missing range that it lies in."""
        if identity < self._floor:
            return False
        index = bisect_right(self._starts, identity) - 1
        if index < 0 or self._ends[index] < identity:
            return True
        start, end = self._starts.pop(index), self._ends.pop(index)
        if identity < end:
            self._insert(index, identity + 1, end)
        if start < identity:
            self._insert(index, start, identity - 1)
        return False

    def _insert(self, index: int, start: int, end: int) -> None:
        self._starts.insert(index, start)
        self._ends.insert(index, end)
        if len(self._starts) > MAX_RANGES:
            del self._starts[0]
            self._floor = self._ends.pop(0) + 1


class CandleFilter:
    """What one candle feed has published. A candle's closing is never dropped unless that very closing came before."""

    def __init__(self) -> None:
        self._last: tuple[int, int | Decimal] = (-1, -1)
        self._closed: deque[int] = deque(maxlen=CLOSED_REMEMBERED)

    def seen(self, open_time: int, progress: int | Decimal, *, closed: bool) -> bool:
        """Return whether this state of a candle, or a newer one, came before, and remember it.

        `progress` rises with each state: the event time or, where the exchange sends none, the volume.
        """
        if open_time in self._closed:
            return True
        position = (open_time, progress)
        if closed:
            self._closed.append(open_time)
        elif position <= self._last:
            return True
        self._last = max(self._last, position)
        return False


class RecentIds:
    """Memory of ids that have no order: at least the last `RECENT_REMEMBERED` of them.

    Two sets take turns, so that forgetting costs nothing.
    """

    __slots__ = ("_new", "_old")

    def __init__(self) -> None:
        self._new: set[str] = set()
        self._old: set[str] = set()

    def seen(self, identity: str) -> bool:
        """Return whether this id came before, and remember it."""
        if identity in self._new or identity in self._old:
            return True
        self._new.add(identity)
        if len(self._new) >= RECENT_REMEMBERED:
            self._old, self._new = self._new, set()
        return False


class Newest:
    """How far a feed has come: the time, or the rising id, of its newest message.

    What is older repeats what another connection has brought. When nothing newer has come for a while that cannot be
    it: the newest time was wrong, or the exchange has begun to count anew.
    """

    __slots__ = ("at", "recv")

    def __init__(self) -> None:
        self.at = -1
        self.recv = 0
        """When that message was received (ns)."""

    def outdates(self, at: int, recv: int) -> bool:
        """Tell whether what is of `at`, and received at `recv`, is older than what has been published."""
        return at < self.at and recv - self.recv < OUTDATED

    def repeats(self, at: int, recv: int) -> bool:
        """Tell whether it is older, or the same again."""
        return at == self.at or self.outdates(at, recv)

    def reach(self, at: int, recv: int) -> None:
        """Remember what was published last."""
        self.at, self.recv = at, recv
