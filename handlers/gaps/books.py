"""Order-book continuity: each delta must follow on the event before; a change not delivered is lost for good."""

from dataclasses import dataclass

from bus.events import Book
from handlers.gaps.ranges import RESTARTED


@dataclass
class BookLine:
    """How far one symbol's book has been followed."""

    last: int
    """The update id that the book stands at."""
    ts: int
    deltas: bool = False
    """Whether deltas have come: a feed of snapshots alone has no changes to miss."""

    def take(self, book: Book, number: int, ts: int) -> tuple[int, int, int] | None:
        """Note an event; return the missing ids, both included, and the time of the event before them.

        Ids may fall where `prev_id` fits all the same (OKX begins anew so), or when the exchange has restarted.
        """
        missing = None
        follows = book.kind == "delta" and book.prev_id == self.last
        before = self._before(book, number)
        if not follows and before > self.last and (self.deltas or book.kind == "delta"):
            missing = (self.last + 1, before, self.ts)
        if follows or number > self.last or ts > self.ts + RESTARTED:
            self.last, self.ts = number, max(self.ts, ts)
        self.deltas = self.deltas or book.kind == "delta"
        return missing

    def _before(self, book: Book, number: int) -> int:
        """Return the id that the book must have stood at before this event, for nothing to be missing."""
        if book.kind == "snapshot":
            return number
        if book.prev_id is not None:
            return book.prev_id
        return self.last if book.first_id is None else book.first_id - 1
