"""Commands about portfolios: create, reset, close, and the kill switch."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, JsonValue

from bus.clock import MILLISECOND
from bus.errors import MarketdError
from daemon.control.command import Arguments, Command
from daemon.control.paper.arguments import Amount, Name, OfPortfolio
from daemon.control.request import Rejected
from daemon.trading import Services, TradingService
from daemon.trading.paper_line import PaperLine

_LONGEST_LATENCY_MS: Final = 60_000
_Asset = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")]


def _some(initial: dict[str, str]) -> dict[str, str]:
    if not initial:
        raise ValueError('needs an amount to start with, like {"USDT": "10000"}')
    return initial


class Fees(Arguments):
    """Fee rates: 0.001 is 0.1 %."""

    maker: Amount = Field(default="0.001", description="rate for orders that rested")
    taker: Amount = Field(default="0.001", description="rate for orders that took from the book")
    currency: Literal["quote", "received"] = Field(default="quote", description="paid in quote or in what is received")


class Risk(Arguments):
    """Risk limits; the first four refuse an order, the last two halt trading."""

    max_order_notional: Amount | None = Field(default=None, description="the most that an order is worth")
    max_position_notional: Amount | None = Field(default=None, description="the most that a position is worth")
    max_open_orders: int | None = Field(default=None, ge=1, description="orders that are open at once")
    max_orders_per_second: int | None = Field(default=None, ge=1, le=10_000, description="new orders within a second")
    max_daily_loss: Amount | None = Field(default=None, description="loss within a UTC day that halts trading")
    max_drawdown: Amount | None = Field(default=None, description="share of the highest equity, 0.2 is 20 %")


class Latency(Arguments):
    """How long commands take to the exchange, in milliseconds."""

    submit: int = Field(default=0, ge=0, le=_LONGEST_LATENCY_MS, description="ms for an order")
    cancel: int = Field(default=0, ge=0, le=_LONGEST_LATENCY_MS, description="ms for a cancel or a change")
    jitter: int = Field(default=0, ge=0, le=_LONGEST_LATENCY_MS, description="up to as many ms more, drawn by seed")
    seed: int = Field(default=0, ge=0, le=2**31, description="the same seed draws the same")


class Create(Arguments):
    """A new portfolio."""

    name: Name = Field(description="its name")
    initial: Annotated[dict[_Asset, Amount], AfterValidator(_some)] = Field(
        description='what it starts with, the first being its currency: {"USDT": "10000"}'
    )
    fees: Fees = Field(default=Fees(), description="fee rates")
    risk: Risk = Field(default=Risk(), description="risk limits")
    latency: Latency = Field(default=Latency(), description="how long commands take")
    self_trade: Literal["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE"] = Field(
        default="EXPIRE_MAKER", description="what happens where own orders meet"
    )
    trigger: Literal["last", "mark", "bid_ask"] = Field(default="last", description="the price that stops watch")

    def settings(self) -> dict[str, Any]:
        """Return what the engine is set to; its times are in ns."""
        latency = self.latency.model_dump()
        for name in ("submit", "cancel", "jitter"):
            latency[name] *= MILLISECOND
        own = self.model_dump(exclude={"name", "initial", "latency"}, exclude_none=True)
        return {**own, "latency": latency}


class Halt(OfPortfolio):
    """The kill switch."""

    portfolio: Name | Literal[""] = Field(default="", description="its name; without one all of them")
    flatten: bool = Field(default=False, description="sell what is held, at market")


def portfolio_commands(line: PaperLine, services: Services) -> Iterable[Command[Any]]:
    """Return the commands about portfolios."""

    async def create(arguments: Create) -> JsonValue:
        if arguments.name in services.live:
            raise Rejected("exists", f"'{arguments.name}' is a live portfolio: take another name")
        settings = arguments.settings()
        return await line.ask(
            "portfolio.create", {"name": arguments.name, "initial": arguments.initial, "settings": settings}
        )

    async def reset(arguments: OfPortfolio) -> JsonValue:
        return await line.ask("portfolio.reset", arguments.model_dump())

    async def close(arguments: OfPortfolio) -> JsonValue:
        return await line.ask("portfolio.close", arguments.model_dump())

    async def halt(arguments: Halt) -> JsonValue:
        return await _all(service.halt(name, flatten=arguments.flatten) for name, service in meant(arguments.portfolio))

    async def resume(arguments: OfPortfolio) -> JsonValue:
        return await _all(service.resume(name) for name, service in meant(arguments.portfolio))

    def meant(portfolio: str) -> list[tuple[str, TradingService]]:
        """Return a portfolio's service; without a name every live one, and paper trading as a whole."""
        if portfolio:
            return [(portfolio, services.of(portfolio))]
        return [*services.live.items(), ("", services.paper)]

    return (
        Command("paper.portfolio.create", Create, create),
        Command("paper.portfolio.reset", OfPortfolio, reset),
        Command("paper.portfolio.close", OfPortfolio, close),
        Command("trading.halt", Halt, halt),
        Command("trading.resume", OfPortfolio, resume),
    )


async def _all(doing: Iterable[Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Do everything, also where one fails, and return the lines together. Raises what failed, once all are done."""
    results = await asyncio.gather(*doing, return_exceptions=True)
    done = [result for result in results if isinstance(result, dict)]
    for error in results:
        if isinstance(error, MarketdError) and len(results) > 1:
            raise MarketdError("; ".join([str(error), *(result["text"] for result in done)]))
        if isinstance(error, BaseException):
            raise error
    return {**done[-1], "text": "; ".join(result["text"] for result in done)}
