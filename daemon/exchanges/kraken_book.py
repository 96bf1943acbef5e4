"""Kraken's order book of one symbol, kept to verify the CRC32 that comes with each message.

https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from bus.errors import MalformedFrame
from bus.events import Level

DEPTH: Final = 1000
"""Levels of each side that are subscribed to, the most that Kraken offers."""
CHECKED: Final = 10
"""Levels of each side that the checksum covers, whatever the depth."""


class Side:
    """One side. Keys rise towards the best price, where almost all changes are: they cost short moves.

    A float only orders the prices: two that it cannot tell apart would show in the checksum.
    """

    __slots__ = ("_depth", "_keys", "_pieces", "_prices", "_sign", "text")

    def __init__(self, depth: int, *, asks: bool) -> None:
        self._depth = depth
        self._sign = -1 if asks else 1
        self.clear()

    def clear(self) -> None:
        """Forget everything before a snapshot."""
        self._keys: list[float] = []
        self._prices: list[str] = []
        self._pieces: list[str] = []
        self.text: bytes | None = None
        """The side's part of the text that is checked; None when it has to be made anew."""

    def change(self, levels: Sequence[Level]) -> list[Level]:
        """Apply the changes of one message; return the removals that follow from it.

        Kraken says nothing of the levels that fall out of the subscribed depth: they are removed here, so that every
        subscriber's book is the same. Raises MalformedFrame half-way.
        """
        keys, prices, pieces, sign = self._keys, self._prices, self._pieces, self._sign
        for price, amount in levels:
            key = float(price) * sign
            if not key:
                raise MalformedFrame("a price of 0")
            at, count = bisect_left(keys, key), len(keys)
            known = at < count and keys[at] == key
            if float(amount):
                piece = price.replace(".", "").lstrip("0") + amount.replace(".", "").lstrip("0")
                if known:
                    pieces[at] = piece
                else:
                    keys.insert(at, key)
                    prices.insert(at, price)
                    pieces.insert(at, piece)
            elif known:
                del keys[at], prices[at], pieces[at]
            if at >= count - CHECKED:
                self.text = None
        return self._cut() if len(keys) > self._depth else []

    def encode(self) -> bytes:
        """Return this side's part of the text that is checked, the best level first."""
        self.text = text = "".join(self._pieces[: -CHECKED - 1 : -1]).encode()
        return text

    def _cut(self) -> list[Level]:
        """Drop the worst levels beyond the depth."""
        excess = len(self._keys) - self._depth
        removals = [(price, "0") for price in self._prices[:excess]]
        del self._keys[:excess], self._prices[:excess], self._pieces[:excess]
        return removals


class KrakenBook:
    """Both sides of one symbol's book."""

    __slots__ = ("_checksum", "_checksum_asks", "asks", "bids")

    def __init__(self, depth: int = DEPTH) -> None:
        self.bids = Side(depth, asks=False)
        self.asks = Side(depth, asks=True)
        self._checksum = self._checksum_asks = 0

    def clear(self) -> None:
        """Forget everything before a snapshot."""
        self.bids.clear()
        self.asks.clear()

    def checksum(self) -> int:
        """Return the CRC32 of the ten best levels of each side, asks first; it is kept while they do not change."""
        bids, asks = self.bids, self.asks
        if asks.text is None:
            self._checksum_asks = crc32(asks.encode())
        elif bids.text is not None:
            return self._checksum
        self._checksum = crc32(bids.text or bids.encode(), self._checksum_asks)
        return self._checksum
