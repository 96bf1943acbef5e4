"""Orders: what is asked for, as strings from outside, and what the engine keeps of it, in integers."""

from typing import Literal, TypeAlias

import msgspec

from bus.events import Side
from bus.paper import OrderStatus, Reason

OrderType: TypeAlias = Literal[
    "market",
    "limit",
    "stop_market",
    "stop_limit",
    "take_profit_market",
    "take_profit_limit",
    "trailing_stop_market",
]
TimeInForce: TypeAlias = Literal["GTC", "IOC", "FOK", "GTD"]
Trigger: TypeAlias = Literal["last", "mark", "bid_ask"]
"""What a stop watches: trade prints, the mark, or the side of the book that it would fill at."""
SelfTrade: TypeAlias = Literal["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE"]
GroupKind: TypeAlias = Literal["oco", "ouo"]

PRICED: frozenset[OrderType] = frozenset({"limit", "stop_limit", "take_profit_limit"})
"""Types with a limit price."""
STOPPED: frozenset[OrderType] = frozenset({"stop_market", "stop_limit", "take_profit_market", "take_profit_limit"})
"""Types with a stop price of their own."""
TAKE_PROFITS: frozenset[OrderType] = frozenset({"take_profit_market", "take_profit_limit"})


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is asked for: decimal strings, `quantity` in base or `quote_quantity` in quote currency.

    `trail_bps` or `trail_amount` is a trailing stop's distance from the extreme print. `oco` and `ouo` name a group
    of orders of which the first execution cancels, or shrinks, the others. `take_profit` and `stop_loss` are prices
    at which what this order buys or sells is closed again. `expire` is in ns. `trigger` overrides the portfolio's.
    """

    id: str
    exchange: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: str | None = None
    quote_quantity: str | None = None
    price: str | None = None
    stop_price: str | None = None
    trail_bps: str | None = None
    trail_amount: str | None = None
    time_in_force: TimeInForce = "GTC"
    expire: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    oco: str | None = None
    ouo: str | None = None
    take_profit: str | None = None
    stop_loss: str | None = None
    trigger: Trigger | None = None


class Order(msgspec.Struct, eq=False, kw_only=True):
    """An order in the engine. Prices and sizes in atoms, `quote` and `reserved` in money units, times in ns.

    `dormant` is a stop that has not triggered, `resting` an order in the queue of its price. `seq` is its place in
    time among the portfolio's orders. `received` is the base currency that it brought after fees (money units),
    `protected` how much of that its take-profit and stop-loss cover. `ahead` is only right in a snapshot.
    """

    id: str
    buy: bool
    order_type: OrderType
    quantity: int
    seq: int
    quote: int = 0
    price: int | None = None
    stop: int | None = None
    trail_bps: int = 0
    trail_amount: int = 0
    extreme: int | None = None
    trigger: Trigger = "last"
    time_in_force: TimeInForce = "GTC"
    expire: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    group: str | None = None
    group_kind: GroupKind = "oco"
    take_profit: int | None = None
    stop_loss: int | None = None
    dormant: bool = False
    resting: bool = False
    filled: int = 0
    fills: int = 0
    received: int = 0
    protected: int = 0
    reserved: int = 0
    status: OrderStatus = "NEW"
    reason: Reason = ""
    ahead: int = 0

    @property
    def leaves(self) -> int:
        """What is still to be filled, in size atoms."""
        return self.quantity - self.filled

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def key(self) -> int:
        """Where it rests: its price as a book key of its own side."""
        price = self.price or 0
        return price if self.buy else -price
