"""The displayed order book of one symbol, best price first, without the levels that later prints prove gone."""

from bisect import bisect_left, insort
from collections.abc import Mapping


class BookSide:
    """One side. Levels are keyed so that a higher key is a better price: bids by price, asks by minus the price.

    `keys` holds the levels that can be filled from, rising: the best one is the last.
    """

    __slots__ = ("keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.sizes: dict[int, int] = {}
        self.keys: list[int] = []

    def shown(self, key: int) -> int:
        """Return what is displayed at a level."""
        return self.sizes.get(key, 0)

    def set(self, key: int, size: int) -> bool:
        """State one level anew (size 0: it is no longer there) and return whether it changed."""
        old = self.sizes.get(key, 0)
        if size == old:
            return False
        if size:
            self.sizes[key] = size
            if not old:
                insort(self.keys, key)
        else:
            del self.sizes[key]
            del self.keys[bisect_left(self.keys, key)]
        return True

    def replace(self, sizes: Mapping[int, int]) -> list[int]:
        """State the whole side anew; return the levels that changed, those no longer there included."""
        old = self.sizes
        changed = [key for key, size in sizes.items() if old.get(key) != size]
        changed += [key for key in old if key not in sizes]
        self.sizes = dict(sizes)
        self.keys = sorted(sizes)
        return changed

    def disprove(self, key: int) -> list[int]:
        """A print at `key` hit this side: drop every better level, which must be gone, and return them."""
        keys = self.keys
        gone = []
        while keys and keys[-1] > key:
            better = keys.pop()
            del self.sizes[better]
            gone.append(better)
        return gone

    def withhold(self) -> None:
        """What is there is not known until the side is stated anew: nothing can be filled, queues stay as they are."""
        self.keys.clear()
