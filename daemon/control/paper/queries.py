"""Commands that ask: answered from the database, where everything stands that was ever answered."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, JsonValue

from daemon.config.model import Symbol
from daemon.control.command import Arguments, Command
from daemon.control.paper.arguments import OfPortfolio
from daemon.paper.records import Records, plain
from daemon.trading import Services


class Listed(OfPortfolio):
    """Which orders or trades to list; newest first."""

    symbol: Symbol | None = Field(default=None, description="of this symbol")
    limit: int = Field(default=100, ge=1, le=10_000, description="the newest so many")


class Orders(Listed):
    """Which orders to list."""

    state: Literal["open", "all"] = Field(default="open", description="open ones, or all")


class Performance(OfPortfolio):
    """How detailed the equity curve is."""

    points: int = Field(default=100, ge=0, le=10_000, description="points of the equity curve")


def query_commands(records: Records, services: Services) -> Iterable[Command[Any]]:
    """Return the commands that ask."""

    async def portfolio_list(_: Arguments) -> JsonValue:
        return plain([*await records.portfolios(), *(service.described() for service in services.live.values())])

    async def portfolio_get(arguments: OfPortfolio) -> JsonValue:
        name = await records.named(arguments.portfolio)
        (found,) = [row for row in await records.portfolios() if row["portfolio"] == name]
        return plain(
            {
                **found,
                "balances": await records.balances(name),
                "positions": await records.positions(name),
                "open_orders": await records.orders(name, None, 100, only_open=True),
            }
        )

    async def order_list(arguments: Orders) -> JsonValue:
        name, symbol = arguments.portfolio, arguments.symbol
        if arguments.state == "open":
            return plain(await services.of(name).open_orders(name, symbol or "", arguments.limit))
        return plain(await records.orders(await records.named(name), symbol, arguments.limit, only_open=False))

    async def trades(arguments: Listed) -> JsonValue:
        name = await records.named(arguments.portfolio)
        return plain(await records.fills(name, arguments.symbol, arguments.limit))

    async def positions(arguments: OfPortfolio) -> JsonValue:
        return plain(await records.positions(await records.named(arguments.portfolio)))

    async def balances(arguments: OfPortfolio) -> JsonValue:
        return plain(await services.of(arguments.portfolio).balances(arguments.portfolio))

    async def performance(arguments: Performance) -> JsonValue:
        name = await records.named(arguments.portfolio)
        return plain(
            {
                "portfolio": name,
                "statistics": await records.statistics(name),
                "equity": await records.equity(name, arguments.points),
            }
        )

    return (
        Command("paper.portfolio.list", Arguments, portfolio_list),
        Command("paper.portfolio.get", OfPortfolio, portfolio_get),
        Command("paper.order.list", Orders, order_list),
        Command("paper.trades", Listed, trades),
        Command("paper.positions", OfPortfolio, positions),
        Command("paper.balances", OfPortfolio, balances),
        Command("paper.performance", Performance, performance),
    )
