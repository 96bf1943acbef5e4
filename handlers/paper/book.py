"""The displayed order book of one symbol, best price first, and what later prints have proved gone of it."""

from bisect import bisect_left, insort
from collections.abc import Mapping


class BookSide:
    """One side. Levels are keyed so that a higher key is a better price: bids by price, asks by minus the price.

    `keys` holds the levels that can be filled from, rising: the best one is the last.
    """

    __slots__ = ("gone", "keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.sizes: dict[int, int] = {}
        self.keys: list[int] = []
        self.gone: set[int] = set()

    def shown(self, key: int) -> int:
        """Return what is displayed at a level; 0 where a print has proved it gone."""
        return 0 if key in self.gone else self.sizes.get(key, 0)

    def set(self, key: int, size: int) -> bool:
        """State one level anew (size 0: it is no longer there) and return whether it changed."""
        old = self.sizes.get(key, 0)
        if key in self.gone:
            self.gone.discard(key)
            if size:
                insort(self.keys, key)
        elif size and not old:
            insort(self.keys, key)
        elif old and not size:
            del self.keys[bisect_left(self.keys, key)]
        if size:
            self.sizes[key] = size
        elif old:
            del self.sizes[key]
        return size != old

    def replace(self, sizes: Mapping[int, int]) -> list[int]:
        """State the whole side anew; return the levels that changed, those no longer there included."""
        old = self.sizes
        changed = [key for key, size in sizes.items() if old.get(key) != size]
        changed += [key for key in old if key not in sizes]
        self.sizes = dict(sizes)
        self.keys = sorted(sizes)
        self.gone.clear()
        return changed

    def disprove(self, key: int) -> None:
        """A print at `key` hit this side: every better level is gone until it is stated again."""
        keys = self.keys
        while keys and keys[-1] > key:
            self.gone.add(keys.pop())

    def withhold(self) -> None:
        """What is there is not known until the side is stated anew: nothing can be filled, queues stay as they are."""
        self.keys.clear()
