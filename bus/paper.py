"""What the paper-trading engine tells of its orders, fills, positions and balances: plain values with decimal strings.

Times are integer nanoseconds since the epoch, UTC, on the clock of the market events.
"""

from typing import Literal, TypeAlias

import msgspec

from bus.events import Side

OrderStatus: TypeAlias = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "REJECTED"]
Reason: TypeAlias = Literal[
    "UNKNOWN_SYMBOL",
    "PRICE_FILTER",
    "LOT_SIZE",
    "MIN_NOTIONAL",
    "NO_LIQUIDITY",
    "STOP_WOULD_TRIGGER",
    "POST_ONLY_WOULD_TAKE",
    "INSUFFICIENT_BALANCE",
    "KILL_SWITCH",
    "RISK_LIMIT",
    "DUPLICATE_ORDER_ID",
    "UNKNOWN_ORDER",
    "UNKNOWN_PORTFOLIO",
    "SELF_TRADE_PREVENTION",
    "REDUCE_ONLY",
    "",
]
"""Why something was refused or ended; the order in which checks run. Empty: nothing to explain."""
Liquidity: TypeAlias = Literal["maker", "taker"]


class PaperReport(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """What every report has: whose it is and when it happened (ns)."""

    portfolio: str
    ts: int


class OrderReport(PaperReport, frozen=True, gc=False, tag="order"):
    """An order's state after it changed. `stop_price` is where a trailing stop stands now; null where there is none."""

    exchange: str
    symbol: str
    id: str
    side: Side
    order_type: str
    status: OrderStatus
    quantity: str
    filled: str
    price: str | None = None
    stop_price: str | None = None
    reason: Reason = ""
    message: str = ""


class FillReport(PaperReport, frozen=True, gc=False, tag="fill"):
    """One execution. `id` is the order's id and the number of its fill; `fee` is in units of `fee_currency`."""

    exchange: str
    symbol: str
    id: str
    order: str
    side: Side
    price: str
    quantity: str
    fee: str
    fee_currency: str
    liquidity: Liquidity


class PositionReport(PaperReport, frozen=True, gc=False, tag="position"):
    """What is held of a symbol, at average cost; money in the quote currency. `realized` is before fees."""

    exchange: str
    symbol: str
    quantity: str
    average_price: str | None
    realized: str
    fees: str


class BalanceReport(PaperReport, frozen=True, gc=False, tag="balance"):
    """One asset: `total` is owned, of which `locked` is reserved by open orders."""

    asset: str
    total: str
    locked: str


class CommandRejected(PaperReport, frozen=True, gc=False, tag="command_rejected"):
    """A command that could not be done and changed nothing; `id` is the order that it named."""

    id: str
    reason: Reason
    message: str


class TradingHalted(PaperReport, frozen=True, gc=False, tag="trading_halted"):
    """The kill switch closed or opened: by command, or by a limit that `cause` names."""

    halted: bool
    cause: str


AnyPaperReport: TypeAlias = OrderReport | FillReport | PositionReport | BalanceReport | CommandRejected | TradingHalted
