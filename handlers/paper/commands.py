"""What a portfolio can be told to do, as values that can wait on their way to the exchange (rule 14)."""

from typing import TypeAlias

import msgspec

from handlers.paper.orders import OrderRequest


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Place an order."""

    portfolio: str
    order: OrderRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Cancel an open order."""

    portfolio: str
    id: str


class Amend(msgspec.Struct, frozen=True, tag=True):
    """Change an open order's whole quantity, price or stop price; what is None stays."""

    portfolio: str
    id: str
    quantity: str | None = None
    price: str | None = None
    stop_price: str | None = None


class CancelAll(msgspec.Struct, frozen=True, tag=True):
    """Cancel all open orders of a portfolio, or those of one symbol."""

    portfolio: str
    exchange: str | None = None
    symbol: str | None = None


Travelling: TypeAlias = Submit | Cancel | Amend | CancelAll
"""Commands that take their time to the exchange."""


class Halt(msgspec.Struct, frozen=True, tag=True):
    """Pull the kill switch, at once: cancel everything, refuse new orders; with `flatten` close positions at market.

    The flattening order's id is `flatten_id`, on further symbols with a number behind it.
    """

    portfolio: str
    flatten: bool = False
    flatten_id: str = "flatten"
    cause: str = "by command"


class Resume(msgspec.Struct, frozen=True, tag=True):
    """Open the kill switch again."""

    portfolio: str


Command: TypeAlias = Travelling | Halt | Resume


class InFlight(msgspec.Struct, frozen=True, order=True):
    """A command on its way: when it arrives (ns), and its place among all commands."""

    due: int
    serial: int
    command: Travelling
