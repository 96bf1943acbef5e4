"""Kraken's order book of one symbol, kept to verify the CRC32 that comes with each message.

https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from bus.errors import MalformedFrame
from bus.events import Level
from daemon.exchanges.decimals import floats

DEPTH: Final = 1000
"""Levels of each side that are subscribed to, the most that Kraken offers."""
CHECKED: Final = 10
"""Levels of each side that the checksum covers, whatever the depth."""


class Side:
    """One side. Keys rise towards the best price, where almost all changes are: they cost short moves.

    A float only orders the prices: two that it cannot tell apart would show in the checksum.
    """

    __slots__ = ("_depth", "_keys", "_levels", "_sign", "changed", "pieces")

    def __init__(self, depth: int, *, asks: bool) -> None:
        self._depth = depth
        self._sign = -1.0 if asks else 1.0
        self._keys: list[float] = []
        self._levels: list[Level] = []
        self.pieces: list[str] = []
        """What the checksum takes of each level that it covers, the best one first."""
        self.changed = True
        """Whether they have changed since the checksum was computed."""

    def reset(self, levels: Sequence[Level]) -> None:
        """Begin with a snapshot, the best level first. Raises MalformedFrame."""
        kept = [*reversed(levels)]
        prices = [price for price, _ in kept]
        self._keys = floats(prices if self._sign > 0 else [f"-{price}" for price in prices])
        self._levels = kept
        self.pieces = [_piece(*level) for level in levels[:CHECKED]]
        self.changed = True
        if not all(self._keys) or self._keys != sorted(self._keys):
            raise MalformedFrame("a price of 0, or a snapshot that is not in the order of its prices")

    def change(self, changes: list[Level]) -> None:
        """Apply the changes of one message, and add to them the removals that follow from it.

        Kraken says nothing of the levels that fall out of the subscribed depth: they are removed here, so that every
        subscriber's book is the same. Raises MalformedFrame half-way.
        """
        keys, levels, pieces, sign = self._keys, self._levels, self.pieces, self._sign
        for level in changes:
            price, amount = level
            key = float(price) * sign
            if not key:
                raise MalformedFrame("a price of 0")
            deep = len(keys) - CHECKED  # from here on they are checked
            at = bisect_left(keys, key, deep if deep > 0 and keys[deep] <= key else 0)  # most changes are near the top
            rank = len(keys) - at  # of a known price: 1 is the best
            if rank <= CHECKED:
                self.changed = True
            if rank and keys[at] == key:
                if float(amount):
                    levels[at] = level
                    if rank <= CHECKED:
                        pieces[rank - 1] = _piece(price, amount)
                else:
                    self._remove(at, rank)
            elif float(amount):
                keys.insert(at, key)
                levels.insert(at, level)
                if rank < CHECKED:
                    pieces.insert(rank, _piece(price, amount))
                    if deep >= 0:
                        del pieces[CHECKED]
        changes += self._cut() if len(keys) > self._depth else ()

    def _remove(self, at: int, rank: int) -> None:
        levels, pieces = self._levels, self.pieces
        del self._keys[at], levels[at]
        if rank <= CHECKED:
            del pieces[rank - 1]
            if len(levels) >= CHECKED:
                pieces.append(_piece(*levels[-CHECKED]))

    def _cut(self) -> list[Level]:
        """Drop the worst levels beyond the depth."""
        excess = len(self._keys) - self._depth
        removals = [(price, "0") for price, _ in self._levels[:excess]]
        del self._keys[:excess], self._levels[:excess], self.pieces[self._depth :]
        return removals


def _piece(price: str, amount: str) -> str:
    """Return a level as the checksum takes it: price and amount without dot and leading zeros."""
    before = price.replace(".", "") if price >= "1" else price.lstrip("0.")
    return before + (amount.replace(".", "") if amount >= "1" else amount.lstrip("0."))


class KrakenBook:
    """Both sides of one symbol's book."""

    __slots__ = ("_bids", "_checksum", "_checksum_asks", "asks", "bids")

    def __init__(self, depth: int = DEPTH) -> None:
        self.bids = Side(depth, asks=False)
        self.asks = Side(depth, asks=True)
        self._bids = b""
        """The bids' part of the text that is checked."""
        self._checksum = self._checksum_asks = 0

    def checksum(self) -> int:
        """Return the CRC32 of the ten best levels of each side, asks first; it is kept while they do not change."""
        bids, asks = self.bids, self.asks
        if asks.changed:
            self._checksum_asks = crc32("".join(asks.pieces).encode())
            asks.changed = False
        elif not bids.changed:
            return self._checksum
        if bids.changed:
            self._bids = "".join(bids.pieces).encode()
            bids.changed = False
        self._checksum = crc32(self._bids, self._checksum_asks)
        return self._checksum
