"""The arguments of paper trading's commands. An empty portfolio or exchange is the only one that there is."""

import msgspec

from handlers.paper.orders import OrderRequest
from handlers.paper.settings import Settings


class OfPortfolio(msgspec.Struct, frozen=True):
    """A command about a portfolio."""

    portfolio: str = ""


class Creating(msgspec.Struct, frozen=True):
    """A portfolio to open; the first asset of `initial` is its currency."""

    name: str
    initial: dict[str, str]
    settings: Settings = Settings()


class Submitting(msgspec.Struct, frozen=True):
    """An order to place; an empty id is made up."""

    order: OrderRequest
    portfolio: str = ""


class Amending(msgspec.Struct, frozen=True):
    """An open order to change; what is None stays."""

    id: str
    portfolio: str = ""
    quantity: str | None = None
    price: str | None = None
    stop_price: str | None = None


class Canceling(msgspec.Struct, frozen=True):
    """An open order to cancel."""

    id: str
    portfolio: str = ""


class CancelingAll(msgspec.Struct, frozen=True):
    """All open orders, or those of one symbol."""

    portfolio: str = ""
    exchange: str = ""
    symbol: str = ""


class Closing(msgspec.Struct, frozen=True):
    """A position to sell at market."""

    symbol: str
    portfolio: str = ""
    exchange: str = ""


class Protecting(msgspec.Struct, frozen=True):
    """A position to put a stop-loss, a take-profit or both around (prices)."""

    symbol: str
    portfolio: str = ""
    exchange: str = ""
    stop_loss: str | None = None
    take_profit: str | None = None


class Halting(msgspec.Struct, frozen=True):
    """The kill switch; without a portfolio for all of them."""

    portfolio: str = ""
    flatten: bool = False
    cause: str = "by command"
