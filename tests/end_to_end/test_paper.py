"""Paper trading on the running daemon, by the commands that a person types."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgpack
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until


def ctl(marketd: Marketd, *arguments: str) -> Any:
    """The result of a command that must succeed."""
    answer = marketd.run("ctl", *arguments, "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(json.loads(answer.stdout)["result"])


def said(marketd: Marketd, *arguments: str, status: int = 0) -> str:
    """What a person reads."""
    answer = marketd.run("ctl", *arguments)
    assert answer.returncode == status, answer.stdout + answer.stderr
    return answer.stdout.strip()


def test_a_portfolio_trades_against_the_simulated_exchange(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=500)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    assert said(marketd, "portfolio.create", "name=demo", 'initial={"USDT": "100000"}') == (
        "demo: opened with 100000 USDT"
    )

    def bought() -> bool:
        answer = marketd.run("ctl", "buy", "symbol=BTC/USDT", "quantity=0.1")
        return answer.returncode == 0 and answer.stdout.startswith("bought 0.1 BTC/USDT at ")

    wait_until("the book is known and an order is filled", bought)
    (position,) = ctl(marketd, "positions")
    assert (position["symbol"], position["quantity"]) == ("BTC/USDT", "0.1")
    assert "stop market" in said(marketd, "position.protect", "symbol=BTC/USDT", "stop_loss=1000")
    assert "limit at 1 is new" in said(
        marketd, "paper.order.submit", "symbol=BTC/USDT", "side=buy", "type=limit", "quantity=10", "price=1.00"
    )
    assert len(ctl(marketd, "order.list")) == 2

    assert "quantity or quote_quantity is needed" in said(marketd, "buy", "symbol=BTC/USDT", status=1)
    assert "did you mean" in said(marketd, "sell", "symbol=BTC/USDT", "quantty=1", status=1)
    assert "write BTC/USDT" in said(marketd, "sell", "symbol=btcusdt", "quantity=1", status=1)
    assert "did you mean demo" in said(marketd, "positions", "portfolio=dmo", status=1)
    assert "free are 0" in said(marketd, "sell", "symbol=BTC/USDT", "quantity=500", status=1)
    assert "did you mean buy" in said(marketd, "bui", status=1)

    assert said(marketd, "order.cancel_all", "symbol=BTC/USDT") == "2 orders canceled"
    assert said(marketd, "position.close", "symbol=BTC/USDT").startswith("sold 0.1 BTC/USDT at ")
    assert "orders are canceled" in said(marketd, "trading.halt")
    assert "trading is halted" in said(marketd, "buy", "symbol=BTC/USDT", "quantity=0.1", status=1)
    assert "resumes in demo" in said(marketd, "trading.resume")

    performance = ctl(marketd, "performance")
    assert performance["statistics"]["round_trips"] == 1
    assert len(performance["equity"]) >= 2
    (listed,) = ctl(marketd, "portfolio.list")
    assert listed["portfolio"] == "demo"
    trades = ctl(marketd, "trades")
    for side in ("buy", "sell"):
        assert sum(Decimal(trade["quantity"]) for trade in trades if trade["side"] == side) == Decimal("0.1")

    for ending in ("html", "json", "csv"):
        written = marketd.run("paper", "report", "demo", "--output", f"demo.{ending}")
        assert written.returncode == 0, written.stderr
    page = (marketd.home / "demo.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("<tr>") == len(trades) + 6  # three header lines, a position and two balances
    assert json.loads((marketd.home / "demo.json").read_text())["statistics"]["round_trips"] == 1
    assert len((marketd.home / "demo.csv").read_text().splitlines()) == len(trades) + 1
    for arguments, words in (
        (("nobody", "--output", "n.html"), "there are demo"),
        (("demo", "--output", "n.pdf"), ".csv"),
    ):
        refused = marketd.run("paper", "report", *arguments)
        assert refused.returncode == 2
        assert words in refused.stderr

    redis = Redis.from_url(marketd.urls()["redis"])
    told = [e for _, fields in redis.xrange("md:paper") for e in msgpack.unpackb(fields[b"events"])]
    redis.close()
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert {"order", "fill", "position", "balance", "equity", "portfolio"} <= {event["type"] for event in told}
    status, text = get(f"{marketd.http}/metrics")
    assert status == 200
    assert f"marketd_paper_fills_total {len(trades)}.0" in text
    assert "marketd_paper_violations_total{" not in text
