"""A price-time order book in whole ticks and lots: the heart of the simulated exchange."""

from collections import deque
from heapq import heappop, heappush
from typing import Final, NamedTuple

BUY: Final = 0
SELL: Final = 1


class Order:
    """One resting order. `place` is where it stands in the list of all orders, for picking one at random."""

    __slots__ = ("lots", "place", "price", "side")

    def __init__(self, side: int, price: int, lots: int, place: int) -> None:
        self.side = side
        self.price = price
        self.lots = lots
        self.place = place


class Fill(NamedTuple):
    """One match of an incoming order with a resting one, at the resting one's price."""

    price: int
    lots: int


class Side:
    """One side of the book: lots and queue by price, and the prices as a heap, best first (as `sign * price`)."""

    __slots__ = ("_heap", "changed", "lots", "queues", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.lots: dict[int, int] = {}
        self.queues: dict[int, deque[Order]] = {}
        self.changed: set[int] = set()
        """Prices whose lots have changed since somebody last looked."""
        self._heap: list[int] = []

    @property
    def best(self) -> int | None:
        """The best price, None when the side is empty."""
        heap, lots, sign = self._heap, self.lots, self.sign
        while heap:
            price = heap[0] * sign
            if price in lots:
                return price
            heappop(heap)  # the level has gone since
        return None

    def add(self, order: Order) -> None:
        """Queue an order behind the others at its price."""
        price = order.price
        queue = self.queues.get(price)
        if queue is None:
            self.queues[price] = deque((order,))
            self.lots[price] = order.lots
            heappush(self._heap, price * self.sign)
        else:
            queue.append(order)
            self.lots[price] += order.lots
        self.changed.add(price)

    def take(self, price: int, lots: int) -> None:
        """Take lots off a level; an empty level goes."""
        left = self.lots[price] - lots
        if left:
            self.lots[price] = left
        else:
            del self.lots[price], self.queues[price]
        self.changed.add(price)

    def top(self, count: int) -> list[tuple[int, int]]:
        """Return the best levels as (price, lots), best first."""
        ordered = sorted(self.lots, reverse=self.sign < 0)[:count]
        return [(price, self.lots[price]) for price in ordered]


class OrderBook:
    """Both sides. `update_id` rises by one with every order that changes the book."""

    def __init__(self, update_id: int) -> None:
        self.bids = Side(-1)
        self.asks = Side(1)
        self.sides = (self.bids, self.asks)
        self.update_id = update_id
        self.orders: list[Order] = []

    def limit(self, side: int, price: int, lots: int) -> list[Fill]:
        """Match what crosses, in price-time order, and let the rest of the order stand."""
        fills = self._match(side, lots, price)
        rest = lots - sum(fill.lots for fill in fills) if fills else lots
        if rest:
            order = Order(side, price, rest, len(self.orders))
            self.orders.append(order)
            self.sides[side].add(order)
        self.update_id += 1
        return fills

    def market(self, side: int, lots: int) -> list[Fill]:
        """Match at any price; what the book cannot fill expires."""
        fills = self._match(side, lots, None)
        if fills:
            self.update_id += 1
        return fills

    def cancel(self, order: Order) -> None:
        """Take a resting order out."""
        side = self.sides[order.side]
        lots, order.lots = order.lots, 0  # its place in the queue is passed over when its turn comes
        side.take(order.price, lots)
        self._forget(order)
        self.update_id += 1

    def _forget(self, order: Order) -> None:
        last = self.orders.pop()
        if last is not order:
            self.orders[order.place] = last
            last.place = order.place

    def _match(self, side: int, lots: int, limit: int | None) -> list[Fill]:
        book = self.sides[1 - side]
        fills: list[Fill] = []
        while lots:
            price = book.best
            if price is None or (limit is not None and (price > limit if side == BUY else price < limit)):
                break
            queue = book.queues[price]
            taken = 0
            while lots and queue:
                maker = queue[0]
                size = maker.lots
                if size > lots:
                    maker.lots = size - lots
                    fills.append(Fill(price, lots))
                    taken += lots
                    lots = 0
                else:
                    queue.popleft()
                    if size:
                        fills.append(Fill(price, size))
                        taken += size
                        lots -= size
                        self._forget(maker)
            book.take(price, taken)
        return fills
