"""Commands about orders and positions."""

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from bus.clock import MILLISECOND
from daemon.config.model import Symbol
from daemon.control.command import Command
from daemon.control.paper.arguments import Amount, Name, OfPortfolio, OfSymbol
from daemon.control.request import Rejected
from daemon.trading import Services
from daemon.trading.paper_line import PaperLine


class MarketOrder(OfSymbol):
    """Buy or sell at market."""

    quantity: Amount | None = Field(default=None, description="how much of the base currency")
    quote_quantity: Amount | None = Field(default=None, description="or for how much of the quote currency")
    client_order_id: Name | None = Field(default=None, description="an id of your own; otherwise one is made up")
    take_profit: Amount | None = Field(default=None, description="price at which to close with a profit")
    stop_loss: Amount | None = Field(default=None, description="price at which to close with a loss")

    @model_validator(mode="after")
    def _one_quantity(self) -> Self:
        if (self.quantity is None) == (self.quote_quantity is None):
            raise ValueError("quantity or quote_quantity is needed, and not both")
        return self

    def order(self, **more: Any) -> dict[str, Any]:
        """Return the order in the engine's words."""
        own = self.model_dump(exclude={"portfolio", "client_order_id"}, exclude_none=True)
        return {**own, "id": self.client_order_id or "", **more}


class Submit(MarketOrder):
    """An order of any type."""

    side: Literal["buy", "sell"] = Field(description="buy or sell")
    type: Literal[
        "market", "limit", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit",
        "trailing_stop_market",
    ] = Field(description="type of order")  # fmt: skip
    price: Amount | None = Field(default=None, description="limit price")
    stop_price: Amount | None = Field(default=None, description="price that triggers it")
    trail_bps: Amount | None = Field(default=None, description="distance of a trailing stop in basis points")
    trail_amount: Amount | None = Field(default=None, description="or as a price difference")
    time_in_force: Literal["GTC", "IOC", "FOK", "GTD"] = Field(default="GTC", description="how long it stands")
    expire: int | None = Field(default=None, ge=0, le=2**43, description="end of a GTD order, unix ms")
    post_only: bool = Field(default=False, description="refuse it rather than let it take")
    reduce_only: bool = Field(default=False, description="only ever reduce the position")
    oco: Name | None = Field(default=None, description="group of which the first execution cancels the others")
    ouo: Name | None = Field(default=None, description="group of which an execution shrinks the others")
    trigger: Literal["last", "mark", "bid_ask"] | None = Field(default=None, description="price that a stop watches")

    @model_validator(mode="after")
    def _an_end(self) -> Self:
        if (self.time_in_force == "GTD") != (self.expire is not None):
            raise ValueError("time_in_force GTD and expire belong together")
        return self

    def order(self, **more: Any) -> dict[str, Any]:
        """Return the order in the engine's words; its times are in ns."""
        own = super().order(**more)
        own["order_type"] = own.pop("type")
        if self.expire is not None:
            own["expire"] = self.expire * MILLISECOND
        return own


class OfOrder(OfPortfolio):
    """Arguments that name an order."""

    id: Name = Field(description="the order's id")


class Amend(OfOrder):
    """What to change of an order."""

    quantity: Amount | None = Field(default=None, description="its new whole quantity")
    price: Amount | None = Field(default=None, description="its new limit price")
    stop_price: Amount | None = Field(default=None, description="its new stop price")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.quantity is None and self.price is None and self.stop_price is None:
            raise ValueError("quantity, price or stop_price is needed")
        return self


class CancelAll(OfPortfolio):
    """Which orders to cancel."""

    symbol: Symbol | None = Field(default=None, description="of this symbol only")
    exchange: Name | None = Field(default=None, description="on this exchange only")


class Protect(OfSymbol):
    """Prices around a position."""

    stop_loss: Amount | None = Field(default=None, description="price at which to close with a loss")
    take_profit: Amount | None = Field(default=None, description="price at which to close with a profit")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.stop_loss is None and self.take_profit is None:
            raise ValueError("stop_loss or take_profit is needed")
        return self


def order_commands(line: PaperLine, services: Services) -> Iterable[Command[Any]]:
    """Return the commands about orders and positions."""

    async def submit(arguments: Submit) -> JsonValue:
        return await services.of(arguments.portfolio).submit(arguments.portfolio, arguments.order())

    async def amend(arguments: Amend) -> JsonValue:
        change = arguments.model_dump(include={"quantity", "price", "stop_price"}, exclude_none=True)
        return await services.of(arguments.portfolio).amend(arguments.portfolio, arguments.id, change)

    async def cancel(arguments: OfOrder) -> JsonValue:
        return await services.of(arguments.portfolio).cancel(arguments.portfolio, arguments.id)

    async def cancel_all(arguments: CancelAll) -> JsonValue:
        exchange, symbol = arguments.exchange or "", arguments.symbol or ""
        return await services.of(arguments.portfolio).cancel_all(arguments.portfolio, exchange, symbol)

    def at_market(side: str) -> Command[MarketOrder]:
        async def run(arguments: MarketOrder) -> JsonValue:
            order = arguments.order(side=side, order_type="market")
            return await services.of(arguments.portfolio).submit(arguments.portfolio, order)

        return Command(f"paper.{side}", MarketOrder, run)

    def of_position(name: str, arguments: type[OfSymbol]) -> Command[OfSymbol]:
        async def run(given: OfSymbol) -> JsonValue:
            if given.portfolio in services.live:
                raise Rejected("not_supported", f"{given.portfolio} is live: {name} is for paper portfolios")
            return await line.ask(name, given.model_dump(exclude_none=True))

        return Command(f"paper.{name}", arguments, run)

    return (
        Command("paper.order.submit", Submit, submit),
        at_market("buy"),
        at_market("sell"),
        Command("paper.order.amend", Amend, amend),
        Command("paper.order.cancel", OfOrder, cancel),
        Command("paper.order.cancel_all", CancelAll, cancel_all),
        of_position("position.close", OfSymbol),
        of_position("position.protect", Protect),
    )
