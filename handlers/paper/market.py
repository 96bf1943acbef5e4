"""What is known of one symbol's market, shared by all portfolios that trade it."""

from typing import TYPE_CHECKING

from handlers.paper.book import BookSide
from handlers.paper.instrument import Instrument

if TYPE_CHECKING:
    from handlers.paper.desk import Desk


class Market:
    """A symbol's displayed book, last print and mark, and the desks that trade on it.

    `mark` is what positions are valued at: the stated mark price where the exchange has one, else the best bid, as
    long as there is none the last print. `now` is the time of what is being handled.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.bids = BookSide(1)
        self.asks = BookSide(-1)
        self.last: int | None = None
        self.mark: int | None = None
        self.mark_stated = False
        self.has_book = False
        """Whether a book has been seen: best prices alone are no longer looked at then."""
        self.in_sync = True
        self.book_id: int | None = None
        self.seen: dict[str, int] = {}
        """The receive time of the last event of each channel: what comes again is older."""
        self.desks: list[Desk] = []

    def bid(self) -> int | None:
        """Return the best bid's price."""
        return self.bids.keys[-1] if self.bids.keys else None

    def ask(self) -> int | None:
        """Return the best ask's price."""
        return -self.asks.keys[-1] if self.asks.keys else None
