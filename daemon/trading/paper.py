"""Orders to paper trading, in whatever process it runs."""

from collections.abc import Mapping
from typing import Any

from daemon.paper.records import Records
from daemon.trading.paper_line import PaperLine
from daemon.trading.service import Result


class PaperService:
    """See `TradingService`. An empty portfolio is the only one there is; for the kill switch, all of them."""

    def __init__(self, line: PaperLine, records: Records) -> None:
        self._line = line
        self._records = records

    async def open_orders(self, portfolio: str, symbol: str, limit: int) -> list[Result]:
        """See `TradingService.open_orders`."""
        name = await self._records.named(portfolio)
        return await self._records.orders(name, symbol or None, limit, only_open=True)

    async def balances(self, portfolio: str) -> list[Result]:
        """See `TradingService.balances`."""
        return await self._records.balances(await self._records.named(portfolio))

    async def submit(self, portfolio: str, order: Mapping[str, Any]) -> Result:
        """See `TradingService.submit`."""
        return await self._line.ask("order.submit", {"portfolio": portfolio, "order": dict(order)})

    async def amend(self, portfolio: str, order_id: str, change: Mapping[str, str]) -> Result:
        """See `TradingService.amend`."""
        return await self._line.ask("order.amend", {"portfolio": portfolio, "id": order_id, **change})

    async def cancel(self, portfolio: str, order_id: str) -> Result:
        """See `TradingService.cancel`."""
        return await self._line.ask("order.cancel", {"portfolio": portfolio, "id": order_id})

    async def cancel_all(self, portfolio: str, exchange: str, symbol: str) -> Result:
        """See `TradingService.cancel_all`."""
        return await self._line.ask(
            "order.cancel_all", {"portfolio": portfolio, "exchange": exchange, "symbol": symbol}
        )

    async def halt(self, portfolio: str, *, flatten: bool) -> Result:
        """See `TradingService.halt`."""
        return await self._line.ask("trading.halt", {"portfolio": portfolio, "flatten": flatten})

    async def resume(self, portfolio: str) -> Result:
        """See `TradingService.resume`."""
        return await self._line.ask("trading.resume", {"portfolio": portfolio})
