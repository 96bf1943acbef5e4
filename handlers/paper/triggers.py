"""Stops that wait for a price, found without looking at those that it does not reach (rules 7 and 9)."""

from bisect import bisect_left, insort
from typing import Final, Literal, TypeAlias

from handlers.paper.orders import TAKE_PROFITS, Order

Watched: TypeAlias = Literal["last", "mark", "bid", "ask"]
BPS_ONE: Final = 10_000 * 10**4
"""The whole, in units of a hundredth of a per mille of a basis point: trailing distances may have four decimals."""


class PriceIndex:
    """Orders by key, the highest key first."""

    __slots__ = ("at", "keys")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.at: dict[int, dict[str, Order]] = {}

    def add(self, key: int, order: Order) -> None:
        """Put an order at a key."""
        here = self.at.get(key)
        if here is None:
            here = self.at[key] = {}
            insort(self.keys, key)
        here[order.id] = order

    def remove(self, key: int, order: Order) -> None:
        """Take an order from its key."""
        here = self.at[key]
        del here[order.id]
        if not here:
            del self.at[key]
            del self.keys[bisect_left(self.keys, key)]

    def from_key(self, key: int) -> list[Order]:
        """Return all orders at `key` or higher."""
        return [order for found in self.keys[bisect_left(self.keys, key) :] for order in self.at[found].values()]


class Watch:
    """The stops that watch one price: those that fire when it falls to them, and when it rises to them."""

    __slots__ = ("falling", "rising", "trail_down", "trail_up")

    def __init__(self) -> None:
        self.falling = PriceIndex()
        self.rising = PriceIndex()
        self.trail_up = PriceIndex()
        self.trail_down = PriceIndex()

    def __bool__(self) -> bool:
        return bool(self.falling.keys or self.rising.keys)

    def add(self, order: Order) -> None:
        """Watch for an order's stop price."""
        assert order.stop is not None
        if fires_falling(order):
            self.falling.add(order.stop, order)
        else:
            self.rising.add(-order.stop, order)
        if order.extreme is not None:
            if order.buy:
                self.trail_down.add(order.extreme, order)
            else:
                self.trail_up.add(-order.extreme, order)

    def remove(self, order: Order) -> None:
        """Watch for an order no more."""
        assert order.stop is not None
        if fires_falling(order):
            self.falling.remove(order.stop, order)
        else:
            self.rising.remove(-order.stop, order)
        if order.extreme is not None:
            if order.buy:
                self.trail_down.remove(order.extreme, order)
            else:
                self.trail_up.remove(-order.extreme, order)

    def ratchet(self, price: int) -> list[Order]:
        """Move the trailing stops whose extreme `price` has passed; return them."""
        moved = []
        if self.trail_up.keys and self.trail_up.keys[-1] > -price:
            moved += self.trail_up.from_key(-price + 1)
        if self.trail_down.keys and self.trail_down.keys[-1] > price:
            moved += self.trail_down.from_key(price + 1)
        moved.sort(key=lambda order: order.seq)
        for order in moved:
            self.remove(order)
            order.extreme = price
            order.stop = trailing_stop(order, price)
            self.add(order)
        return moved

    def reached(self, price: int) -> list[Order]:
        """Return the stops that a price fires, in the order in which they were accepted."""
        found = []
        if self.falling.keys and self.falling.keys[-1] >= price:
            found += self.falling.from_key(price)
        if self.rising.keys and self.rising.keys[-1] >= -price:
            found += self.rising.from_key(-price)
        return sorted(found, key=lambda order: order.seq)


def fires_falling(order: Order) -> bool:
    """Whether a stop fires when the price falls to it: sell stops, and take-profits of those who sold."""
    return order.buy == (order.order_type in TAKE_PROFITS)


def fires(order: Order, price: int) -> bool:
    """Whether a price fires a stop."""
    assert order.stop is not None
    return price <= order.stop if fires_falling(order) else price >= order.stop


def watched(order: Order) -> Watched:
    """Return the price that an order watches; of the book, the side that it would fill at."""
    if order.trigger == "bid_ask":
        return "ask" if order.buy else "bid"
    return order.trigger


def trailing_stop(order: Order, extreme: int) -> int:
    """Return the stop that belongs to an extreme print, in price atoms, away from the market where it is no whole atom.

    The nearest price on that side fires at the same prints as the exact one.
    """
    if order.trail_amount:
        return extreme + order.trail_amount if order.buy else extreme - order.trail_amount
    if order.buy:
        return -(-extreme * (BPS_ONE + order.trail_bps) // BPS_ONE)
    return extreme * (BPS_ONE - order.trail_bps) // BPS_ONE
