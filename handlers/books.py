"""Watches every order book as a whole: one whose best bid stays at or above its best ask is wrong, and says so.

Exchanges cross their books for a moment in an auction or while messages are under way; a sound one uncrosses by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from bus.book import BookBuilder
from bus.clock import SECOND
from bus.events import Book, Event, Quality
from bus.handler import Batch, Handler

STUCK: Final = "stuck_crossed_book"
"""Rule of the quality event that asks for the book to start anew from a snapshot."""
PATIENCE: Final = 5 * SECOND
"""How long a book may be crossed (ns, receive time)."""


@dataclass
class _Watched:
    """One symbol's book, and since when it is crossed (ns, receive time)."""

    book: BookBuilder = field(default_factory=BookBuilder)
    since: int | None = None


class BookWatch(Handler):
    """Follows the books; a book that it has not seen begin is watched from its next snapshot on."""

    name = "books"
    together = "stream"
    pace = 0.05
    channels: ClassVar[frozenset[str]] = frozenset({"book"})
    start_at: ClassVar[Literal["beginning", "now"]] = "now"

    def __init__(self) -> None:
        self._watched: dict[tuple[str, str], _Watched] = {}

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Follow each book; return what is to be said of those that stay crossed."""
        books = (event for event in batch.events if type(event) is Book)
        return [stuck for book in books if (stuck := self._follow(book)) is not None]

    def _follow(self, event: Book) -> Quality | None:
        watched = self._watched.get((event.exchange, event.symbol))
        if watched is None:
            watched = self._watched[event.exchange, event.symbol] = _Watched()
        if not watched.book.apply(event) or not watched.book.crossed:
            watched.since = None
            return None
        if watched.since is None:
            watched.since = event.recv
        if event.recv - watched.since < PATIENCE:
            return None
        bid, ask = watched.book.best_bid, watched.book.best_ask
        self._watched[event.exchange, event.symbol] = _Watched()  # nothing more is said until it begins anew
        detail = f"bid {bid and bid[0]} has been at or above ask {ask and ask[0]} for {PATIENCE // SECOND} s"
        ref = str(event.last_id if event.last_id is not None else event.recv)
        return Quality(event.recv, event.exchange, event.symbol, "book", STUCK, "error", ref, detail)
