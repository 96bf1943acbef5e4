"""Commands that ask: answered from the database, where everything stands that was ever answered."""

from collections.abc import Iterable
from typing import Any, Literal

import asyncpg
from pydantic import Field, JsonValue

from bus.errors import UsageError
from daemon.config.model import Symbol
from daemon.control.command import Arguments, Command
from daemon.control.paper.arguments import OfPortfolio
from daemon.nearest import did_you_mean
from daemon.paper.records import Records, plain


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


async def named(records: Records, name: str) -> str:
    """Return a portfolio's name; without one the only open one. Raises UsageError naming the nearest."""
    known: dict[str, str] = {row["portfolio"]: row["state"] for row in await records.portfolios()}
    if name in known:
        return name
    if name:
        raise UsageError(f"there is no portfolio '{name}'{did_you_mean(name, known) or _list(known)}")
    still_open = [portfolio for portfolio, state in known.items() if state == "open"]
    if len(still_open) == 1:
        return still_open[0]
    if still_open:
        raise UsageError(f"say which portfolio{_list(still_open)}")
    raise UsageError("there is no portfolio yet: portfolio.create makes one")


def _list(names: Iterable[str]) -> str:
    return f"; there are {', '.join(names) or 'none'}"


def query_commands(pool: "asyncpg.Pool[Any]") -> Iterable[Command[Any]]:
    """Return the commands that ask."""
    records = Records(pool)

    async def portfolio_list(_: Arguments) -> JsonValue:
        return plain(await records.portfolios())

    async def portfolio_get(arguments: OfPortfolio) -> JsonValue:
        name = await named(records, arguments.portfolio)
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
        name = await named(records, arguments.portfolio)
        only_open = arguments.state == "open"
        return plain(await records.orders(name, arguments.symbol, arguments.limit, only_open=only_open))

    async def trades(arguments: Listed) -> JsonValue:
        name = await named(records, arguments.portfolio)
        return plain(await records.fills(name, arguments.symbol, arguments.limit))

    async def positions(arguments: OfPortfolio) -> JsonValue:
        return plain(await records.positions(await named(records, arguments.portfolio)))

    async def balances(arguments: OfPortfolio) -> JsonValue:
        return plain(await records.balances(await named(records, arguments.portfolio)))

    async def performance(arguments: Performance) -> JsonValue:
        name = await named(records, arguments.portfolio)
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
