"""Contiguous ids: which ones never came, exactly, through duplicates, reordering and restarts."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from bus.clock import SECOND

GRACE: Final = 2 * SECOND
"""Ids that come a little late are no gap: a hole is told when it is still there after this time."""
RESTARTED: Final = 60 * SECOND
"""An id below all others, this much later, is the exchange counting anew."""
HOLES_KEPT: Final = 1_000

_first = attrgetter("first")


@dataclass
class Hole:
    """Ids that are missing, both bounds included, between neighbours of these times (ns)."""

    first: int
    last: int
    from_ts: int
    to_ts: int
    found: int
    """When it was noticed (ns, receive time)."""
    told: bool = False
    rest: bool = False
    """Whether it is what is left of a hole that had been told: it has had its grace."""
    waited: int = 0
    """The first tick (ns, wall clock) that found it still there."""


@dataclass
class IdLine:
    """The ids of one feed: the highest seen and its time, and the holes below it, in rising order."""

    last: int
    ts: int
    recv: int = 0
    """The newest receive time (ns): the feed's own clock, whatever other streams have come to."""
    holes: list[Hole] = field(default_factory=list)
    untold: bool = False
    """Whether there may be holes that have not been told."""
    unsaved: bool = False
    """Whether the holes are others than those that were saved last."""

    def counts_anew(self, number: int, ts: int) -> bool:
        """Whether an id can only mean that the exchange has begun to count again."""
        return number < self.last and ts > self.ts + RESTARTED

    def take(self, number: int, ts: int, recv: int, *, healing: bool = False) -> Hole | None:
        """Note an id; return the told hole that it has changed: what is left of that is told as holes of their own.

        While a hole is being healed nothing is said of it: whoever heals it gives the verdict on the whole.
        """
        self.recv = max(self.recv, recv)
        if number > self.last:
            if number != self.last + 1:
                self.holes.append(Hole(self.last + 1, number - 1, self.ts, ts, recv))
                self.untold = self.unsaved = True
            self.last, self.ts = number, ts
            return None
        return self._late(number, ts, healing=healing) if self.holes else None

    def _late(self, number: int, ts: int, *, healing: bool) -> Hole | None:
        index = bisect_right(self.holes, number, key=_first) - 1
        if index < 0 or self.holes[index].last < number:
            return None
        hole = self.holes[index]
        parts = []
        if hole.first < number:
            parts.append(Hole(hole.first, number - 1, hole.from_ts, ts, hole.found))
        if number < hole.last:
            parts.append(Hole(number + 1, hole.last, ts, hole.to_ts, hole.found))
        for part in parts:
            part.told, part.rest = hole.told and healing, hole.told and not healing
            self.untold |= not part.told
        self.unsaved = True
        self.holes[index : index + 1] = parts
        return hole if hole.told and not healing else None

    def ripe(self) -> Iterator[Hole]:
        """Give, once, each hole that the feed itself has left behind for the grace, and those beyond what is kept."""
        if not self.untold:
            return
        beyond = max(0, len(self.holes) - HOLES_KEPT)
        for index, hole in enumerate(self.holes):
            if not hole.told and (hole.rest or index < beyond or hole.found + GRACE <= self.recv):
                hole.told = self.unsaved = True
                yield hole
        del self.holes[:beyond]
        self.untold = not all(hole.told for hole in self.holes)

    def overdue(self, now: int) -> Iterator[Hole]:
        """Give, once, each hole that is still there a grace after the first tick that saw it.

        Counted from a tick and not from the receive time: what is behind in a backlog has not had its chance yet.
        """
        if not self.untold:
            return
        for hole in self.holes:
            if hole.told:
                continue
            self.unsaved = True
            if not hole.waited:
                hole.waited = now
            elif now - hole.waited >= GRACE:
                hole.told = True
                yield hole

    def close(self) -> Iterator[Hole]:
        """Give every hole not told yet: nothing more can come."""
        for hole in self.holes:
            if not hole.told:
                hole.told = True
                yield hole
