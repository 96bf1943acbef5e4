"""Paper trading on the running daemon, by the commands that a person types."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgpack
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until


class Desk:
    """Sends commands to the running daemon, as a program does."""

    def __init__(self, redis: "Redis[str]") -> None:
        self.redis = redis
        self.sent = 0

    def reply(self, command: str, **args: Any) -> dict[str, str]:
        self.sent += 1
        identity = f"t{self.sent}"
        self.redis.xadd("md:commands", {"command": command, "args": json.dumps(args), "id": identity})
        found = wait_until(
            f"a reply to {command}",
            lambda: [fields for _, fields in self.redis.xrange("md:replies") if fields["id"] == identity],
        )
        return dict(found[0])

    def result(self, command: str, **args: Any) -> Any:
        """The result of a command that must succeed."""
        reply = self.reply(command, **args)
        assert reply["status"] == "done", reply
        return json.loads(reply["result"])

    def refused(self, command: str, **args: Any) -> str:
        """The sentence with which a command is refused."""
        reply = self.reply(command, **args)
        assert reply["status"] == "rejected", reply
        return str(json.loads(reply["error"])["message"])


def said(marketd: Marketd, *arguments: str, status: int = 0) -> str:
    """What a person reads."""
    answer = marketd.run("ctl", *arguments)
    assert answer.returncode == status, answer.stdout + answer.stderr
    return answer.stdout.strip()


def test_a_portfolio_trades_against_the_simulated_exchange(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready().trading()
    redis = Redis.from_url(marketd.urls()["redis"], decode_responses=True)
    desk = Desk(redis)
    assert said(marketd, "portfolio.create", "name=demo", 'initial={"USDT": "100000"}') == (
        "demo: opened with 100000 USDT"
    )
    wait_until(
        "the book is known and an order is filled",
        lambda: desk.reply("buy", symbol="BTC/USDT", quantity="0.001")["status"] == "done",
    )
    (position,) = desk.result("positions")
    assert (position["symbol"], position["quantity"]) == ("BTC/USDT", "0.001")
    assert "stop market" in said(marketd, "position.protect", "symbol=BTC/USDT", "stop_loss=10000")
    resting = desk.result("paper.order.submit", symbol="BTC/USDT", side="buy", type="limit", quantity=10, price=1.5)
    assert "limit at 1.5 is new" in resting["text"]
    assert len(desk.result("order.list")) == 2

    assert "quantity or quote_quantity is needed" in said(marketd, "buy", "symbol=BTC/USDT", status=1)
    assert "did you mean quantity" in desk.refused("sell", symbol="BTC/USDT", quantty="1")
    assert "write BTC/USDT" in desk.refused("sell", symbol="btcusdt", quantity="1")
    assert "did you mean demo" in desk.refused("positions", portfolio="dmo")
    assert "free are 0" in desk.refused("sell", symbol="BTC/USDT", quantity="500")
    assert "did you mean buy" in desk.refused("bui")
    assert "quantity" in desk.refused("buy", symbol="BTC/USDT", quantity="-1")
    assert "quantity" in desk.refused("buy", symbol="BTC/USDT", quantity="1e5")

    assert desk.result("order.cancel_all", symbol="BTC/USDT")["text"] == "2 orders canceled"
    assert said(marketd, "position.close", "symbol=BTC/USDT").startswith("sold 0.001 BTC/USDT at ")
    assert "orders are canceled" in desk.result("trading.halt")["text"]
    assert "trading is halted" in desk.refused("buy", symbol="BTC/USDT", quantity="0.001")
    assert "resumes in demo" in desk.result("trading.resume")["text"]

    performance = desk.result("performance")
    assert performance["statistics"]["round_trips"] == 1
    assert len(performance["equity"]) >= 2
    (listed,) = desk.result("portfolio.list")
    assert listed["portfolio"] == "demo"
    assert desk.result("portfolio.get")["balances"][1]["asset"] == "USDT"
    trades = desk.result("trades")
    for side in ("buy", "sell"):
        assert sum(Decimal(trade["quantity"]) for trade in trades if trade["side"] == side) == Decimal("0.001")

    written = marketd.run("paper", "report", "demo", "--output", "demo.html")
    assert written.returncode == 0, written.stderr
    page = (marketd.home / "demo.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("<tr>") == len(trades) + 6  # three header lines, a position and two balances
    refused = marketd.run("paper", "report", "nobody", "--output", "nobody.csv")
    assert refused.returncode == 2
    assert "there are demo" in refused.stderr
    redis.close()

    plain = Redis.from_url(marketd.urls()["redis"])
    told = [e for _, fields in plain.xrange("md:paper") for e in msgpack.unpackb(fields[b"events"])]
    plain.close()
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert {"order", "fill", "position", "balance", "equity", "portfolio"} <= {event["type"] for event in told}
    status, text = get(f"{marketd.http}/metrics")
    assert status == 200
    assert f"marketd_paper_fills_total {len(trades)}.0" in text
    assert "marketd_paper_violations_total{" not in text
