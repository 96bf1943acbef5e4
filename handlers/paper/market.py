"""What is known of one symbol's market, shared by all portfolios that trade it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from bus.book import BookSequence
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
    """The latest receive time of a channel, and the events that have it: those of one frame share it."""

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
        self.sequence = BookSequence()
        self.latest: dict[str, Latest] = {}
        """The last event of each channel: what comes again is older, or one of these."""
        self.desks: list[Desk] = []

    @property
    def in_sync(self) -> bool:
        """Whether the book is known, and can be filled from."""
        return self.sequence.in_sync

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
        """Take in a snapshot or a delta; return the keys of the levels that changed, of both sides.

        After a gap the book is not known until the next snapshot: nothing can be filled from it.
        """
        bids, asks = self._levels(event.bids, 1), self._levels(event.asks, -1)
        if not self.sequence.follow(event):
            if self.has_book and not self.in_sync:
                self.lose()
            return [], []
        if event.kind == "snapshot":
            self.has_book = True
            return self.bids.replace(_present(bids)), self.asks.replace(_present(asks))
        return (
            [key for key, size in bids if self.bids.set(key, size)],
            [key for key, size in asks if self.asks.set(key, size)],
        )

    def lose(self) -> None:
        """What is displayed is not known any more: nothing can be filled until it is stated anew."""
        self.sequence.in_sync = False
        self.bids.withhold()
        self.asks.withhold()

    def ticker(self, event: Ticker) -> tuple[list[int], list[int]]:
        """Take in best bid and ask, where there is no book: they are all that is displayed then."""
        if self.has_book:
            return [], []
        bids, asks = self._best(event.bid, event.bid_size, 1), self._best(event.ask, event.ask_size, -1)
        return (
            [] if bids is None else self.bids.replace(bids),
            [] if asks is None else self.asks.replace(asks),
        )

    def mark_price(self, event: MarkPrice) -> bool:
        """Take in the exchange's own mark; return whether it moved."""
        before, self.mark = self.mark, self.instrument.prices[event.mark]
        self.mark_stated = True
        return self.mark != before

    def is_again(self, event: Tradable) -> bool:
        """Whether an event has been here before.

        Deltas that were held until a snapshot came are older than it: they are told by the id that they follow on.
        """
        latest = self.latest.get(type(event).__name__)
        if latest is None or event.recv > latest.recv:
            return False
        if type(event) is Book and event.prev_id is not None and event.prev_id == self.sequence.last_id:
            return False
        return event.recv < latest.recv or event in latest.events

    def remember(self, event: Tradable) -> None:
        """Know an event, which is new, when it comes again."""
        latest = self.latest.get(type(event).__name__)
        if latest is None:
            self.latest[type(event).__name__] = Latest(event.recv, [event])
        elif event.recv > latest.recv:
            latest.recv, latest.events = event.recv, [event]
        elif event.recv == latest.recv:
            latest.events.append(event)

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

    def _best(self, price: str | None, size: str | None, sign: int) -> dict[int, int] | None:
        return None if price is None or size is None else _present(self._levels([(price, size)], sign))


def _present(levels: Iterable[tuple[int, int]]) -> dict[int, int]:
    return {key: size for key, size in levels if size}
