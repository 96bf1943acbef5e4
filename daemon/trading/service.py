"""What can be done in a portfolio's name, whether its orders are virtual or real."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

Result: TypeAlias = dict[str, Any]
"""What came of it: `text` is a line for people."""


class TradingService(Protocol):
    """Carries out orders. Every method raises Rejected for what is refused, and MarketdError where nobody answers."""

    async def open_orders(self, portfolio: str, symbol: str, limit: int) -> list[Result]:
        """Return the open orders, of one symbol if that is not empty, the newest first."""
        ...

    async def balances(self, portfolio: str) -> list[Result]:
        """Return what is owned of each asset: `asset total locked free`."""
        ...

    async def submit(self, portfolio: str, order: Mapping[str, Any]) -> Result:
        """Place an order, in the words of `handlers.paper.orders.OrderRequest`; an empty `id` is made up."""
        ...

    async def amend(self, portfolio: str, order_id: str, change: Mapping[str, str]) -> Result:
        """Change an open order's quantity, price or stop price."""
        ...

    async def cancel(self, portfolio: str, order_id: str) -> Result:
        """Cancel an open order."""
        ...

    async def cancel_all(self, portfolio: str, exchange: str, symbol: str) -> Result:
        """Cancel all open orders, or those of one exchange or symbol where these are not empty."""
        ...

    async def halt(self, portfolio: str, *, flatten: bool) -> Result:
        """Refuse new orders until `resume`, cancel all open ones, and sell what is held if `flatten`."""
        ...

    async def resume(self, portfolio: str) -> Result:
        """Accept orders again."""
        ...


class LiveTrading(TradingService, Protocol):
    """What trades for real, in the name of one portfolio."""

    def described(self) -> Result:
        """Return the portfolio with what is configured of it."""
        ...


class Services:
    """Finds the service that a portfolio trades with: `live` by its name, every other one is virtual."""

    def __init__(self, paper: TradingService, live: Mapping[str, LiveTrading]) -> None:
        self.paper = paper
        self.live = live

    def of(self, portfolio: str) -> TradingService:
        """Return the service of a portfolio."""
        return self.live.get(portfolio, self.paper)
