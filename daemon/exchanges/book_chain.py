"""Where a book stands on exchanges that send the snapshot in the stream itself.

A break concerns that symbol alone: its deltas are dropped until the snapshot that a new subscription brings.
"""

from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["follows", "duplicate", "broken"]


class BookChain:
    """The position of one symbol's book.

    The book belongs to the connection whose snapshot came last; what overlapping connections bring is a duplicate.
    """

    __slots__ = ("_asked", "_prev", "connection", "last_id")

    def __init__(self) -> None:
        self.connection: int | None = None
        """The connection that the book belongs to, None while it waits for a snapshot."""
        self.last_id: int | None = None
        """The id that the published book stands at, None where the exchange has none."""
        self._prev: int | None = None
        """What the last delta followed on."""
        self._asked = False

    @property
    def waits(self) -> bool:
        """Whether a new subscription has been asked for, and its snapshot has not come."""
        return self._asked

    def begin(self, connection: int, last_id: int | None = None) -> None:
        """Start with a snapshot."""
        self.connection, self.last_id, self._prev, self._asked = connection, last_id, None, False

    def take(self, connection: int, prev_id: int | None = None, last_id: int | None = None) -> Verdict:
        """Say what a delta is that follows on `prev_id`: it may be published only when it `follows`.

        `broken` is said once: then the feed has to be subscribed to anew. What comes until the next snapshot counts as
        duplicate.
        """
        if self.connection is None:
            return self._once()
        if connection != self.connection:
            return "duplicate"
        if prev_id == self.last_id:
            self._prev, self.last_id = prev_id, last_id
            return "follows"
        return "duplicate" if (prev_id, last_id) == (self._prev, self.last_id) else self.fail()

    def fail(self) -> Verdict:
        """Say that the book is wrong, by its ids or its checksum: it waits for a snapshot."""
        self.connection = None
        return self._once()

    def lost(self) -> None:
        """Say that its connection is gone: another one that still delivers has to begin with a snapshot."""
        self.connection, self._asked = None, False

    def _once(self) -> Verdict:
        if self._asked:
            return "duplicate"
        self._asked = True
        return "broken"
