"""Kraken's order book of one symbol, kept to verify the CRC32 that comes with each message.

https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from typing import Final
from zlib import crc32

from bus.errors import MalformedFrame
from bus.events import Level
from daemon.exchanges.decimals import floats

DEPTH: Final = 1000
"""Levels of each side that are subscribed to, the most that Kraken offers."""
CHECKED: Final = 10
"""Levels of each side that the checksum covers, whatever the depth."""
_ZERO: Final = "0." + "0" * 200
"""No amount of 0 is greater, as text, since none has as many zeros; every other one is. `float` costs twice that."""


class Side:
    """One side. Keys rise towards the best price, where almost all changes are: they cost short moves.

    A float only orders the prices: two that it cannot tell apart would show in the checksum. Below the worst price lie
    as many empty levels as the checksum covers, so that there are always that many; `depth` is at least as great.
    """

    __slots__ = ("_keys", "_levels", "_most", "_sign", "changed", "pieces")

    def __init__(self, depth: int, *, asks: bool) -> None:
        self._most = CHECKED + depth
        self._sign = -1.0 if asks else 1.0
        self._keys = [-inf] * CHECKED
        self._levels: list[Level] = [("", "")] * CHECKED
        self.pieces = [""] * CHECKED
        """What the checksum takes of each level that it covers, the best one first."""
        self.changed = True
        """Whether they have changed since the checksum was computed."""

    def reset(self, levels: Sequence[Level]) -> None:
        """Begin with a snapshot, the best level first. Raises MalformedFrame."""
        kept = [*reversed(levels)]
        prices = floats([price for price, _ in kept])
        keys = prices if self._sign > 0 else [-price for price in prices]
        if not all(keys) or keys != sorted(keys):
            raise MalformedFrame("a price of 0, or a snapshot that is not in the order of its prices")
        self._keys = [-inf] * CHECKED + keys
        self._levels = [("", "")] * CHECKED + kept
        self.pieces = [_piece(*level) for level in self._levels[: -CHECKED - 1 : -1]]
        self.changed = True

    def change(self, changes: list[Level]) -> None:
        """Apply the changes of one message, and add to them the removals that follow from it.

        Kraken says nothing of the levels that fall out of the subscribed depth: they are removed here, so that every
        subscriber's book is the same. Raises MalformedFrame half-way.
        """
        keys, levels, pieces, sign = self._keys, self._levels, self.pieces, self._sign
        for level in changes:
            price, amount = level
            value = float(price)
            if not 0 < value < inf:
                raise MalformedFrame("a price of 0, or a boundless one")
            key = value * sign
            if key < keys[-CHECKED]:
                self._change_below(key, level)
                continue
            self.changed = True
            count = len(keys)
            at = bisect_left(keys, key, count - CHECKED)
            rank = count - at  # of a known price: 1 is the best
            if rank and keys[at] == key:
                if amount > _ZERO:
                    levels[at] = level
                    pieces[rank - 1] = _piece(price, amount)
                else:
                    del keys[at], levels[at], pieces[rank - 1]
                    pieces.append(_piece(*levels[-CHECKED]))
            elif amount > _ZERO:
                keys.insert(at, key)
                levels.insert(at, level)
                pieces.insert(rank, _piece(price, amount))
                del pieces[CHECKED]
        if len(keys) > self._most:
            changes += self._cut()

    def _change_below(self, key: float, level: Level) -> None:
        """Apply a change that no checksum covers."""
        keys, levels = self._keys, self._levels
        at = bisect_left(keys, key)
        known, removed = keys[at] == key, level[1] <= _ZERO
        if known and removed:
            del keys[at], levels[at]
        elif known:
            levels[at] = level
        elif not removed:
            keys.insert(at, key)
            levels.insert(at, level)

    def _cut(self) -> list[Level]:
        """Drop the worst levels beyond the depth."""
        beyond = slice(CHECKED, len(self._keys) - self._most + CHECKED)
        removals = [(price, "0") for price, _ in self._levels[beyond]]
        del self._keys[beyond], self._levels[beyond]
        return removals


def _piece(price: str, amount: str) -> str:
    """Return a level as the checksum takes it: price and amount without dot and leading zeros."""
    if price < "1":
        price = price.lstrip("0.")
    if amount < "1":
        amount = amount.lstrip("0.")
    return (price + amount).replace(".", "")


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
