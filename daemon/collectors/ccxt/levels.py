"""What of an order book that ccxt keeps is told: the whole of it, or what a message has changed."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from bus.events import Book, Level
from daemon.collectors.ccxt.digits import digits
from daemon.collectors.ccxt.translate import Origin, moment
from daemon.exchanges.decimals import check_levels


class Recorded:
    """The changes of one side since they were last taken."""

    def __init__(self) -> None:
        self.changes: dict[str, str] = {}
        self.whole = True
        """Whether the side began anew, so that it has to be told as a whole."""

    def begin(self) -> None:
        """Note that the side begins anew."""
        self.changes.clear()
        self.whole = True

    def take(self) -> list[Level]:
        """Return the changes and forget them."""
        taken = [(digits(price), digits(amount)) for price, amount in self.changes.items()]
        self.changes.clear()
        self.whole = False
        return taken


def record_of(side: Any) -> Recorded | None:
    """Return a side's changes, None where an exchange's class has put a list of its own there."""
    found = getattr(side, "recorded", None)
    return found if isinstance(found, Recorded) else None


def levels(side: Iterable[Any], *, lowest_first: bool) -> list[Level]:
    """Return the whole of a side, best level first; orders of one price are added up to a level."""
    amounts: dict[str, str] = {}
    for level in side:
        price, amount = digits(level[0]), digits(level[1])
        before = amounts.get(price)
        amounts[price] = amount if before is None else f"{Decimal(before) + Decimal(amount):f}"
    return sorted(amounts.items(), key=lambda level: Decimal(level[0]), reverse=not lowest_first)


class BookMemory:
    """What one book feed has published: whether its snapshot is out, so that changes may follow, and its last id."""

    def __init__(self) -> None:
        self._begun = False
        self._number: int | None = None

    def begin_anew(self) -> None:
        """Tell the whole book next."""
        self._begun = False

    def event(self, symbol: str, book: Any, origin: Origin) -> Book | None:
        """Return what is news in a book of ccxt's, None where nothing is. Raises MalformedFrame."""
        if hasattr(book, "limit"):
            book.limit()  # what ccxt's watchers do before they return
        records = [record_of(book[side]) for side in ("bids", "asks")]
        whole = not self._begun or any(record is None or record.whole for record in records)
        bids, asks = [[] if record is None else record.take() for record in records]
        if whole:
            bids, asks = levels(book["bids"], lowest_first=False), levels(book["asks"], lowest_first=True)
        if not bids and not asks:
            return None
        self._begun = False  # until it is known to be sound
        check_levels(bids, asks)
        self._begun = True
        return Book(
            origin.exchange, symbol, moment(book.get("timestamp")), origin.recv, origin.source,
            "snapshot" if whole else "delta", bids, asks, last_id=self._rising(book.get("nonce"), whole=whole),
        )  # fmt: skip

    def _rising(self, number: Any, *, whole: bool) -> int | None:
        """Return a book's update id where it is one: some exchanges' stands still while the book changes."""
        if not isinstance(number, int) or (not whole and self._number is not None and number <= self._number):
            return None
        self._number = number
        return number
