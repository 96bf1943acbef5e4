"""What a portfolio owns: balances, of which open orders hold a part back, and positions at average cost."""

from decimal import Decimal
from typing import Final

import msgspec

from handlers.paper.orders import Order

COST_GRID: Final = 10**12
"""Average cost that does not come out even is split to 18 decimals; the parts still add up exactly."""


class Balance(msgspec.Struct, eq=False):
    """One asset in money units; `locked` is the part that open orders hold."""

    total: int = 0
    locked: int = 0

    @property
    def free(self) -> int:
        """What a new order can use."""
        return self.total - self.locked


class Ledger:
    """A portfolio's balances and what its orders have reserved. Orders of a group reserve once: the most of them."""

    def __init__(self) -> None:
        self.balances: dict[str, Balance] = {}
        self.touched: dict[str, None] = {}
        """Assets that changed since they were last reported."""
        self._groups: dict[str, dict[str, Order]] = {}

    def balance(self, asset: str) -> Balance:
        """Return an asset's balance, about to be used."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found

    def move(self, asset: str, amount: int) -> None:
        """Add to (or take from) what is owned of an asset."""
        self.balance(asset).total += amount
        self.touched[asset] = None

    def group(self, name: str) -> list[Order]:
        """Return the open orders of a group, in time order."""
        return list(self._groups.get(name, {}).values())

    def join(self, order: Order) -> None:
        """Make an order part of its group."""
        if order.group is not None:
            self._groups.setdefault(order.group, {})[order.id] = order

    def rise(self, order: Order, amount: int) -> int:
        """Return by how much the locked total would rise if `order` reserved `amount`."""
        if order.group is None:
            return amount - order.reserved
        others = [o.reserved for o in self.group(order.group) if o is not order and o.buy == order.buy]
        now = max([*others, order.reserved])
        return max([*others, amount]) - now

    def reserve(self, order: Order, asset: str, amount: int) -> None:
        """Change what an order holds back of an asset."""
        rise = self.rise(order, amount)
        order.reserved = amount
        if rise:
            self.balance(asset).locked += rise
            self.touched[asset] = None

    def release(self, order: Order, asset: str) -> None:
        """An order has ended: free what it held, to the last digit."""
        self.reserve(order, asset, 0)
        if order.group is not None:
            members = self._groups[order.group]
            del members[order.id]
            if not members:
                del self._groups[order.group]


class Position(msgspec.Struct, eq=False):
    """What is held of one symbol, in money units of base; below 0 where more was sold than bought.

    `cost` (of the sign of `base`) is what it was bought for at average cost, `realized` is before fees.
    """

    base: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0

    def average(self) -> str | None:
        """Return the average price per unit of base, to 28 digits; None while flat."""
        return format((Decimal(self.cost) / Decimal(self.base)).normalize(), "f") if self.base else None

    def book(self, base: int, quote: int) -> None:
        """Take in an execution: `base` and its worth, both above 0 when bought and below 0 when sold."""
        if self.base * base >= 0:
            self.base += base
            self.cost += quote
            return
        closing = min(abs(self.base), abs(base))
        cost = _part(self.cost, closing, abs(self.base))
        paid = _part(quote, closing, abs(base))
        self.realized -= cost + paid
        self.cost += quote - paid - cost
        self.base += base


def _part(amount: int, part: int, whole: int) -> int:
    """Return a share of an amount, exact where it comes out even."""
    if part == whole:
        return amount
    exact, rest = divmod(amount * part, whole)
    return exact if not rest else exact - exact % COST_GRID
