"""Our own resting orders at their prices, each with the public quantity that stands before it (rule 4).

Only the price that an event is about is ever looked at. Within a price, orders that stand behind the same public
quantity share a segment, so that a print touches the front of the queue alone and a shrinking level its end.
"""

from bisect import bisect_left, insort

from handlers.paper.orders import Order


class Segment:
    """Public quantity, and our orders right behind it, oldest first."""

    __slots__ = ("orders", "public")

    def __init__(self, public: int) -> None:
        self.public = public
        self.orders: dict[str, Order] = {}


class Queue:
    """Our orders at one price. `ahead` is the public quantity before the last of them."""

    __slots__ = ("_where", "ahead", "segments")

    def __init__(self) -> None:
        self.ahead = 0
        self.segments: list[Segment] = []
        self._where: dict[str, Segment] = {}

    def __bool__(self) -> bool:
        return bool(self._where)

    def join(self, order: Order, displayed: int) -> None:
        """Add an order at the end, behind all that is displayed."""
        behind = displayed - self.ahead
        if behind > 0 or not self.segments:
            self.segments.append(Segment(behind))
            self.ahead = displayed
        segment = self.segments[-1]
        segment.orders[order.id] = order
        self._where[order.id] = segment

    def leave(self, order: Order) -> None:
        """Take an order out; the public quantity before it stays before those behind it."""
        segment = self._where.pop(order.id)
        del segment.orders[order.id]
        if segment.orders:
            return
        index = self.segments.index(segment)
        del self.segments[index]
        if index < len(self.segments):
            self.segments[index].public += segment.public
        else:
            self.ahead -= segment.public

    def shrink(self, displayed: int) -> None:
        """Put no order behind more than is displayed."""
        while self.ahead > displayed:
            last = self.segments[-1]
            cut = min(last.public, self.ahead - displayed)
            last.public -= cut
            self.ahead -= cut
            if not last.public and len(self.segments) > 1:
                self._merge_last()

    def _merge_last(self) -> None:
        last = self.segments.pop()
        into = self.segments[-1]
        into.orders.update(last.orders)
        for name in last.orders:
            self._where[name] = into

    def advance(self, size: int) -> int:
        """A print of `size` uses up the public quantity before our first order; return what is left of it."""
        first = self.segments[0]
        used = min(first.public, size)
        first.public -= used
        self.ahead -= used
        return size - used

    def first(self) -> Order:
        """Return the order whose turn it is."""
        return next(iter(self.segments[0].orders.values()))

    def orders(self) -> list[tuple[Order, int]]:
        """Return every order with the public quantity before it, in time order."""
        found = []
        ahead = 0
        for segment in self.segments:
            ahead += segment.public
            found += [(order, ahead) for order in segment.orders.values()]
        return found


class RestingSide:
    """Our resting orders of one side; keys as in the book: a higher key is a better price."""

    __slots__ = ("keys", "queues")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.queues: dict[int, Queue] = {}

    def add(self, key: int, order: Order, displayed: int) -> None:
        """Let an order rest behind what is displayed at its price."""
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = Queue()
            insort(self.keys, key)
        queue.join(order, displayed)

    def remove(self, key: int, order: Order) -> None:
        """Take an order out."""
        queue = self.queues[key]
        queue.leave(order)
        if not queue:
            del self.queues[key]
            del self.keys[bisect_left(self.keys, key)]

    def displayed(self, key: int, size: int) -> None:
        """The public level at `key` shows `size` now."""
        queue = self.queues.get(key)
        if queue is not None and queue.ahead > size:
            queue.shrink(size)

    def through(self, key: int) -> None:
        """A print at `key` proved that nothing public stands before our orders at better prices."""
        for better in reversed(self.keys):
            if better <= key:
                break
            self.queues[better].shrink(0)
