"""What paper trading is told and what it tells: orders, fills, positions and balances with decimal strings.

Times are integer nanoseconds since the epoch, UTC, on the clock of the market events. `bus.events` takes these into
the vocabulary of the bus, so this module imports nothing of it.
"""

from typing import Any, Literal, TypeAlias

import msgspec

Side: TypeAlias = Literal["buy", "sell"]

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


class PaperCommand(msgspec.Struct, frozen=True, tag_field="type", tag="paper_command"):
    """Something that paper trading is to do, on its way to the process that runs it.

    `id` is the command's own: the same one is not done twice. After `expires` (ns, wall clock) it is not done any
    more; 0 says that this is past.
    """

    ts: int
    id: str
    name: str
    args: dict[str, Any]
    expires: int


class PaperEvent(msgspec.Struct, frozen=True, gc=False, tag_field="type", kw_only=True):
    """What is told on the paper stream. `seq` counts everything that is told, without a gap; 0 until it is told."""

    seq: int = 0


class PaperReply(PaperEvent, frozen=True, tag="paper_reply"):
    """The answer to a command, told from others by its `id`: a result, or why it was not done (`code`, `message`)."""

    ts: int
    id: str
    result: dict[str, Any] | None = None
    code: str = ""
    message: str = ""


class PaperReport(PaperEvent, frozen=True, gc=False):
    """What every report has: whose it is and when it happened (ns)."""

    portfolio: str
    ts: int


class PortfolioReport(PaperReport, frozen=True, gc=False, tag="portfolio"):
    """A portfolio was opened, began anew (what was stored of it is gone), or was closed for good."""

    state: Literal["open", "reset", "closed"]
    currency: str
    initial: dict[str, str]


class EquityReport(PaperReport, frozen=True, gc=False, tag="equity"):
    """What a portfolio is worth at its marks, in its currency: `initial` + realized + unrealized - fees, exactly."""

    currency: str
    initial: str
    equity: str
    realized: str
    unrealized: str
    fees: str


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


AnyPaperReport: TypeAlias = (
    OrderReport
    | FillReport
    | PositionReport
    | BalanceReport
    | CommandRejected
    | TradingHalted
    | PortfolioReport
    | EquityReport
)
AnyPaperEvent: TypeAlias = AnyPaperReport | PaperReply
"""Everything that is told on the paper stream."""
