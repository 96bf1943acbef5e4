"""What is known of one symbol's market, shared by all portfolios that trade it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from bus.events import Book, Level, MarkPrice, Ticker, Trade
from handlers.paper.book import BookSide
from handlers.paper.instrument import Instrument

if TYPE_CHECKING:
    from handlers.paper.desk import Desk


Tradable: TypeAlias = Trade | Book | Ticker | MarkPrice
"""The events that the engine looks at."""


class Print(NamedTuple):
    """A trade print in atoms.

    `sold` tells that the taker sold, and so hit bids. `gone` are the book keys that it proved gone there (rule 8).
    """

    price: int
    size: int
    sold: bool
    gone: list[int]


class Latest(msgspec.Struct):
    """The last receive time of a channel, and the events that have it: those of one frame share it."""

    recv: int
    events: list[Tradable]


class Market:
    """A symbol's displayed book, last print and mark, and the desks that trade on it.

    `mark` is what positions are valued at: the stated mark price where the exchange has one, else the best bid, as
    long as there is none the last print. Its methods take in an event and return what has changed; ValueError, with
    nothing changed, for numbers that are none.
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
        self.latest: dict[str, Latest] = {}
        """The last event of each channel: what comes again is older, or one of these."""
        self.desks: list[Desk] = []

    def bid(self) -> int | None:
        """Return the best bid's price."""
        return self.bids.keys[-1] if self.bids.keys else None

    def ask(self) -> int | None:
        """Return the best ask's price."""
        return -self.asks.keys[-1] if self.asks.keys else None

    def trade(self, event: Trade) -> Print:
        """Take in a print."""
        price = self.instrument.prices[event.price]
        size = self.instrument.sizes[event.amount]
        sold = event.side == "sell"
        self.last = price
        gone = self.bids.disprove(price) if sold else self.asks.disprove(-price)
        return Print(price, size, sold, gone)

    def book(self, event: Book) -> tuple[list[int], list[int]]:
        """Take in a snapshot or a delta; return the keys of the levels that changed, of both sides."""
        bids, asks = self._levels(event.bids, 1), self._levels(event.asks, -1)
        if event.kind == "snapshot":
            self.has_book = True
            self.in_sync, self.book_id = True, event.last_id
            return self.bids.replace(_present(bids)), self.asks.replace(_present(asks))
        if not self.in_sync or not self.has_book or self._is_old(event):
            return [], []
        if not self._continues(event):
            self.lose_sync()
            return [], []
        self.book_id = event.last_id
        return (
            [key for key, size in bids if self.bids.set(key, size)],
            [key for key, size in asks if self.asks.set(key, size)],
        )

    def lose_sync(self) -> None:
        """The book is not known until the next snapshot: nothing can be filled from it."""
        self.in_sync = False
        self.bids.withhold()
        self.asks.withhold()

    def ticker(self, event: Ticker) -> tuple[list[int], list[int]]:
        """Take in best bid and ask, where there is no book: they are all that is displayed then."""
        if self.has_book:
            return [], []
        bids = self._best(self.bids, event.bid, event.bid_size)
        asks = self._best(self.asks, event.ask, event.ask_size)
        return bids, asks

    def mark_price(self, event: MarkPrice) -> bool:
        """Take in the exchange's own mark; return whether it moved."""
        before, self.mark = self.mark, self.instrument.prices[event.mark]
        self.mark_stated = True
        return self.mark != before

    def is_again(self, event: Tradable) -> bool:
        """Whether an event has been here before; from now on it has."""
        recv = event.recv
        latest = self.latest.get(type(event).__name__)
        if latest is None:
            self.latest[type(event).__name__] = Latest(recv, [event])
        elif recv > latest.recv:
            latest.recv, latest.events = recv, [event]
        elif recv < latest.recv or event in latest.events:
            return True
        else:
            latest.events.append(event)
        return False

    def mark_to_book(self) -> bool:
        """Follow the book, or the last print, with the mark; return whether it moved."""
        if self.mark_stated:
            return False
        keys = self.bids.keys
        mark = keys[-1] if keys else self.last if self.mark is None else self.mark
        if mark == self.mark:
            return False
        self.mark = mark
        return True

    def _levels(self, levels: Iterable[Level], sign: int) -> list[tuple[int, int]]:
        prices, sizes = self.instrument.prices, self.instrument.sizes
        return [(sign * prices[price], sizes[size]) for price, size in levels]

    def _best(self, side: BookSide, price: str | None, size: str | None) -> list[int]:
        if price is None or size is None:
            return []
        return side.replace(_present([(side.sign * self.instrument.prices[price], self.instrument.sizes[size])]))

    def _is_old(self, delta: Book) -> bool:
        """Whether a delta is in the book already; see `bus.book.BookBuilder`."""
        if self.book_id is None or delta.last_id is None or delta.prev_id == self.book_id:
            return False
        return delta.last_id <= self.book_id

    def _continues(self, delta: Book) -> bool:
        """Whether a delta follows on the last one; see `bus.book.BookBuilder`."""
        if self.book_id is None or (delta.prev_id is None and delta.first_id is None):
            return True
        return delta.prev_id == self.book_id or (delta.first_id is not None and delta.first_id <= self.book_id + 1)


def _present(levels: Iterable[tuple[int, int]]) -> dict[int, int]:
    return {key: size for key, size in levels if size}
