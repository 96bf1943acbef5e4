"""Which service a command about trading goes to, and that the kill switch reaches all of them."""

from typing import Any

import pytest

from bus.errors import MarketdError
from daemon.control.command import Command, Commands
from daemon.control.paper.orders import order_commands
from daemon.control.paper.portfolios import portfolio_commands
from daemon.control.request import Rejected, Request
from daemon.trading import Services

REQUEST = Request("1-0", "id", "", "", {}, None, None)


class Recorded:
    """A service that notes what it is asked, and may be out of reach."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[tuple[Any, ...]] = []
        self.away = False

    def _answer(self, *what: Any) -> dict[str, Any]:
        self.asked.append(what)
        if self.away:
            raise MarketdError(f"{self.name} is away")
        return {"text": f"{self.name}: {what[0]}"}

    async def ask(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
        return self._answer(name, args)

    async def submit(self, portfolio: str, order: dict[str, Any]) -> dict[str, Any]:
        return self._answer("submit", portfolio, order)

    async def cancel(self, portfolio: str, order_id: str) -> dict[str, Any]:
        return self._answer("cancel", portfolio, order_id)

    async def halt(self, portfolio: str, *, flatten: bool) -> dict[str, Any]:
        return self._answer("halt", portfolio, flatten)

    async def resume(self, portfolio: str) -> dict[str, Any]:
        return self._answer("resume", portfolio)


class Desk:
    def __init__(self) -> None:
        self.paper, self.live = Recorded("paper"), Recorded("live")
        services = Services(self.paper, {"main": self.live})
        found: list[Command[Any]] = [*order_commands(self.paper, services), *portfolio_commands(self.paper, services)]
        self.commands = Commands(found)

    async def run(self, name: str, /, **args: Any) -> Any:
        command = self.commands.find(name)
        return await command.run(command.parse(args), REQUEST)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_only_orders_that_name_a_live_portfolio_are_real(desk: Desk):
    await desk.run("buy", symbol="BTC/USDT", quantity="1")
    await desk.run("sell", symbol="BTC/USDT", quantity=2, portfolio="main")
    await desk.run("order.cancel", id="x", portfolio="other")
    assert [asked[:2] for asked in desk.paper.asked] == [("submit", ""), ("cancel", "other")]
    ((what, portfolio, order),) = desk.live.asked
    assert (what, portfolio, order["quantity"], order["side"]) == ("submit", "main", "2", "sell")
    with pytest.raises(Rejected, match="is live"):
        await desk.run("position.close", symbol="BTC/USDT", portfolio="main")
    with pytest.raises(Rejected, match="live portfolio"):
        await desk.run("portfolio.create", name="main", initial={"USDT": 1})


async def test_a_halt_without_a_name_reaches_everything_also_where_one_does_not_answer(desk: Desk):
    result = await desk.run("trading.halt")
    assert result["text"] == "live: halt; paper: halt"
    desk.live.away = True
    with pytest.raises(MarketdError, match="live is away; paper: halt"):
        await desk.run("trading.halt", flatten=True)
    assert desk.paper.asked[-1] == ("halt", "", True)
    await desk.run("trading.resume", portfolio="demo")
    assert desk.paper.asked[-1] == ("resume", "demo")


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("buy", {"symbol": "BTC/USDT"}, "quantity or quote_quantity is needed"),
        ("buy", {"symbol": "BTC/USDT", "quantity": "1", "quote_quantity": "1"}, "not both"),
        ("buy", {"symbol": "BTC/USDT", "quantity": "-1"}, "quantity"),
        ("buy", {"symbol": "BTC/USDT", "quantity": "nan"}, "quantity"),
        ("buy", {"symbol": "BTC/USDT", "quantity": True}, "quantity"),
        ("buy", {"symbol": "BTC/USDT", "quantity": 0.1}, "quantity"),
        ("order.submit", {"symbol": "BTC/USDT", "quantity": "1", "type": "limt", "side": "buy"}, "did you mean limit"),
        ("order.submit", {"symbol": "BTC/USDT", "quantity": "1", "type": "limit"}, "side is missing"),
        ("order.submit", {"symbol": "BTC/USDT", "quantity": "1", "type": "limit", "side": "buy",
                          "time_in_force": "GTD"}, "expire belong together"),
        ("order.amend", {"id": "x"}, "is needed"),
        ("order.cancel", {"id": "a b"}, "id"),
        ("order.cancel", {"id": "x" * 65}, "id"),
        ("position.protect", {"symbol": "BTC/USDT"}, "stop_loss or take_profit"),
        ("portfolio.create", {"name": "x", "initial": {}}, "needs an amount"),
        ("portfolio.create", {"name": "x", "initial": {"USDT": "-5"}}, "initial"),
        ("portfolio.create", {"name": "x", "initial": {"USDT": "5"}, "risk": {"max_drawdwn": "1"}}, "max_drawdown"),
    ],
)  # fmt: skip
async def test_a_wrong_argument_is_named(desk: Desk, name: str, args: dict[str, Any], words: str):
    with pytest.raises(Rejected) as caught:
        await desk.run(name, **args)
    assert words in str(caught.value)
    assert desk.paper.asked == []
