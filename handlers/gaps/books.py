"""Order-book continuity: each delta must follow on the event before; a change not delivered is lost for good."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from bus.clock import SECOND
from bus.events import Book
from handlers.gaps.ranges import RESTARTED

STALE: Final = SECOND
"""How much older than its receipt a snapshot without a time of its own may be (ns)."""


class Missing(NamedTuple):
    """Changes that never came: their ids, both included, and the times of the events around them (ns).

    Where the exchange has begun to count anew there are no ids to name them by.
    """

    ids: tuple[int, int] | None
    from_ts: int
    to_ts: int


@dataclass
class BookLine:
    """How far one symbol's book has been followed."""

    last: int
    """The update id that the book stands at."""
    ts: int
    deltas: bool = False
    """Whether deltas have come: a feed of snapshots alone has no changes to miss."""

    def take(self, book: Book, number: int, ts: int) -> Missing | None:
        """Note an event; return what is missing before it.

        Ids may fall where `prev_id` fits all the same (OKX begins anew so), and with a snapshot: with it the followed
        book stands there, whatever came before.
        """
        if book.kind == "snapshot":
            missing = self._before_snapshot(book, number, ts) if self.deltas else None
            self.last, self.ts = number, ts
            return missing
        before, follows = self._before(book), book.prev_id == self.last
        missing = None if follows or before <= self.last else self._missing((self.last + 1, before), ts)
        if follows or number > self.last or ts > self.ts + RESTARTED:
            self.last, self.ts = number, ts
        self.deltas = True
        return missing

    def _before_snapshot(self, book: Book, number: int, ts: int) -> Missing | None:
        if number > self.last:
            return self._missing((self.last + 1, number), ts)
        begun_anew = number < self.last and ts > self.ts + (STALE if book.ts is None else 0)
        return self._missing(None, ts) if begun_anew else None

    def _missing(self, ids: tuple[int, int] | None, ts: int) -> Missing:
        return Missing(ids, min(self.ts, ts), ts)  # a time out of line must not turn the gap round

    def _before(self, delta: Book) -> int:
        """Return the id that the book must have stood at before a delta, for nothing to be missing."""
        if delta.prev_id is not None:
            return delta.prev_id
        return self.last if delta.first_id is None else delta.first_id - 1
