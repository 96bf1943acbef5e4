"""Follows an order book from its events, so that no subscriber has to write that again."""

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from bus.events import Book, Level


class _Side:
    """One side of a book. Keys rise towards the best price, where almost all changes are: they cost short moves."""

    def __init__(self, *, lowest_first: bool) -> None:
        self._negate = lowest_first
        self._keys: list[Decimal] = []
        self._levels: dict[Decimal, Level] = {}

    def reset(self, levels: Iterable[Level]) -> None:
        last = {self._key(level[0]): level for level in levels}
        self._levels = {key: level for key, level in last.items() if Decimal(level[1])}
        self._keys = sorted(self._levels)

    def change(self, levels: Iterable[Level]) -> None:
        for level in levels:
            key = self._key(level[0])
            if not Decimal(level[1]):
                if self._levels.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
                continue
            if key not in self._levels:
                self._keys.insert(bisect_left(self._keys, key), key)
            self._levels[key] = level

    def best(self) -> Level | None:
        return self._levels[self._keys[-1]] if self._keys else None

    def top(self, count: int) -> list[Level]:
        return [self._levels[key] for key in reversed(self._keys[-count:])] if count > 0 else []

    def __len__(self) -> int:
        return len(self._keys)

    def _key(self, price: str) -> Decimal:
        # Two spellings of one price are one level; copy_negate is exact where unary minus would round.
        key = Decimal(price)
        return key.copy_negate() if self._negate else key


class BookSequence(msgspec.Struct):
    """Tells whether the `book` events of one exchange and symbol follow on each other.

    `last_id` is the exchange's update id that the book stands at, None where the exchange has none.
    """

    in_sync: bool = False
    last_id: int | None = None

    def follow(self, event: Book) -> bool:
        """Take note of an event; return whether it is to be applied: not what is known, nor what follows a gap."""
        if event.kind == "snapshot":
            self.in_sync = True
        elif not self.in_sync or self._is_old(event):
            return False
        elif not self._continues(event):
            self.in_sync = False
            return False
        self.last_id = event.last_id
        return True

    def _is_old(self, delta: Book) -> bool:
        """Whether a delta is in the book already. Ids may fall (OKX restarts them) where prev_id fits all the same."""
        if self.last_id is None or delta.last_id is None or delta.prev_id == self.last_id:
            return False
        return delta.last_id <= self.last_id

    def _continues(self, delta: Book) -> bool:
        """Whether a delta follows on the last one; true where the exchange has no ids to tell by."""
        if self.last_id is None or (delta.prev_id is None and delta.first_id is None):
            return True
        # Levels are absolute: a delta that begins inside what is known and ends beyond it may be applied whole.
        return delta.prev_id == self.last_id or (delta.first_id is not None and delta.first_id <= self.last_id + 1)


class BookBuilder:
    """The order book of one symbol, as far as its events tell.

    Feed every `book` event of one exchange and symbol to `apply`, in the order of the stream. The book can be used
    while `in_sync`; it is not before the first snapshot, nor between a missing delta and the snapshot after it.
    Events that are delivered again do no harm. Prices and amounts come back as strings exactly as sent.
    """

    def __init__(self) -> None:
        self._bids = _Side(lowest_first=False)
        self._asks = _Side(lowest_first=True)
        self._sequence = BookSequence()

    @property
    def in_sync(self) -> bool:
        """Whether the book can be used."""
        return self._sequence.in_sync

    @property
    def last_id(self) -> int | None:
        """The exchange's update id that the book stands at, None where the exchange has none."""
        return self._sequence.last_id

    def apply(self, event: Book) -> bool:
        """Take in one event and return whether the book is in sync after it."""
        if self._sequence.follow(event):
            if event.kind == "snapshot":
                self._bids.reset(event.bids)
                self._asks.reset(event.asks)
            else:
                self._bids.change(event.bids)
                self._asks.change(event.asks)
        return self.in_sync

    @property
    def best_bid(self) -> Level | None:
        """The highest bid as (price, amount), None while there is none."""
        return self._bids.best()

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask as (price, amount), None while there is none."""
        return self._asks.best()

    def bids(self, count: int) -> list[Level]:
        """Return the best `count` bids, highest first."""
        return self._bids.top(count)

    def asks(self, count: int) -> list[Level]:
        """Return the best `count` asks, lowest first."""
        return self._asks.top(count)

    @property
    def depth(self) -> tuple[int, int]:
        """How many bid and ask levels are known."""
        return len(self._bids), len(self._asks)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask, which a sound book never shows."""
        bid, ask = self.best_bid, self.best_ask
        return bid is not None and ask is not None and Decimal(bid[0]) >= Decimal(ask[0])
