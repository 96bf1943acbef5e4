"""What an order would take from the book right now: planned first, done only if the order is accepted (rules 1, 2, 5).

Liquidity is what is displayed minus what this portfolio already took there. Our own orders on the other side are met
at their place in the queue, as the exchange would meet them (self-trade prevention, rule 10).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from handlers.paper.book import BookSide
from handlers.paper.orders import Order, SelfTrade
from handlers.paper.queues import Queue, RestingSide


class Take(NamedTuple):
    """Part of one level: book key, price and size in atoms."""

    key: int
    price: int
    size: int


class Plan(NamedTuple):
    """What an order takes, our own orders that expire because it meets them, and whether it ends at one itself.

    `complete` tells whether everything that was wanted is there.
    """

    takes: list[Take]
    makers: list[Order]
    stopped: bool
    complete: bool

    @property
    def size(self) -> int:
        """How much is taken in all."""
        return sum(take.size for take in self.takes)

    @property
    def notional(self) -> int:
        """Price times size in all, in atoms."""
        return sum(take.price * take.size for take in self.takes)


class Depth(NamedTuple):
    """The side of the book that an order takes from, what was already taken of it, and our own orders within it."""

    side: BookSide
    taken: Mapping[int, int]
    own: RestingSide

    def available(self, key: int) -> int:
        """Return what can still be taken at a level."""
        return max(0, self.side.shown(key) - self.taken.get(key, 0))

    def best(self) -> int | None:
        """Return the best level at which anything can be taken."""
        taken = self.taken
        for key in reversed(self.side.keys):
            if key not in taken or self.side.sizes[key] > taken[key]:
                return key
        return None

    def levels(self, limit: int | None, *, own: bool) -> Iterator[tuple[int, Queue | None]]:
        """Yield levels from the best one to `limit`, with our own orders there; prices that only those have too."""
        public, mine = self.side.keys, self.own.keys if own else []
        i, j = len(public) - 1, len(mine) - 1
        while i >= 0 or j >= 0:
            key = max(public[i] if i >= 0 else mine[j], mine[j] if j >= 0 else public[i])
            if limit is not None and key < limit:
                return
            has_own = j >= 0 and mine[j] == key
            if i >= 0 and public[i] == key:
                i -= 1
            if has_own:
                j -= 1
            yield key, self.own.queues[key] if has_own else None


class _Wanted:
    """How much more is wanted: sizes, or what a quote amount still buys, floored to the lot step."""

    def __init__(self, size: int, quote: int, step: int) -> None:
        self._size = size
        self._quote = quote
        self._step = step

    def at(self, price: int) -> int:
        return self._quote // (price * self._step) * self._step if self._quote else self._size

    def took(self, price: int, size: int) -> None:
        if self._quote:
            self._quote -= price * size
        else:
            self._size -= size


def sweep(depth: Depth, limit: int | None, size: int, quote: int, step: int, prevention: SelfTrade) -> Plan:
    """Plan an order of `size` atoms, or for `quote` (price times size atoms), down to the book key `limit`."""
    wanted = _Wanted(size, quote, step)
    takes: list[Take] = []
    makers: list[Order] = []
    for key, queue in depth.levels(limit, own=prevention != "NONE"):
        price = key * depth.side.sign
        want = wanted.at(price)
        if not want:
            return Plan(takes, makers, stopped=False, complete=True)
        here = min(want, depth.available(key))
        met = _met(queue, want, depth.taken.get(key, 0)) if queue is not None else []
        if met and prevention != "EXPIRE_MAKER":
            here = min(here, met[0][1])
            if prevention == "EXPIRE_BOTH":
                makers.append(met[0][0])
        else:
            makers += [order for order, _ in met]
        if here:
            takes.append(Take(key, price, here))
            wanted.took(price, here)
        if met and prevention != "EXPIRE_MAKER":
            return Plan(takes, makers, stopped=True, complete=False)
    last = takes[-1].price if takes else 0
    return Plan(takes, makers, stopped=False, complete=bool(takes) and not wanted.at(last))


def _met(queue: Queue, want: int, taken: int) -> list[tuple[Order, int]]:
    """Return our own orders that a taker of `want` comes to, with the public quantity that it takes before each."""
    return [(order, max(0, ahead - taken)) for order, ahead in queue.orders() if want > max(0, ahead - taken)]
