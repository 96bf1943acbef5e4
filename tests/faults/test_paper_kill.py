"""Kill -9 while paper orders trade: nothing that was told is lost or doubled, and every account adds up.

Everything is checked from the database and the stream, with plain sums: no code of the engine takes part.
"""

import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import msgpack
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.sql import rows

KILLS = int(os.environ.get("MARKETD_TEST_KILLS", "3"))
INITIAL = Decimal(100_000)
FEE = Decimal("0.001")
TABLES = ("paper_fills", "paper_orders", "paper_balances", "paper_positions", "paper_equity")


def stored(dsn: str) -> dict[str, list[dict[str, Any]]]:
    return {name: [dict(row) for row in rows(dsn, f"select * from {name} where portfolio = 'demo'")] for name in TABLES}


def told(redis: "Redis[bytes]") -> list[dict[str, Any]]:
    """Everything on the paper stream."""
    return [e for _, fields in redis.xrange("md:paper") for e in msgpack.unpackb(fields[b"events"])]


def send(redis: "Redis[bytes]", identity: str, command: str, **args: Any) -> None:
    redis.xadd("md:commands", {"command": command, "args": json.dumps(args), "id": identity})


def replies(redis: "Redis[bytes]") -> dict[str, dict[str, str]]:
    """The last reply to every command."""
    return {
        fields[b"id"].decode(): {name.decode(): value.decode() for name, value in fields.items()}
        for _, fields in redis.xrange("md:replies")
    }


def answered(redis: "Redis[bytes]", identity: str) -> None:
    """Wait until everything that was sent is answered: commands are carried out in order."""
    send(redis, identity, "ping")
    wait_until("every command is answered", lambda: identity in replies(redis))


class Trader:
    """Sends orders as fast as they come to mind, until the server is gone."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.sent = 0

    def trade(self, redis: "Redis[bytes]", seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.one(redis)
            time.sleep(0.02)  # enough commands to be caught in the middle of one

    def one(self, redis: "Redis[bytes]") -> None:
        self.sent += 1
        side = self.chance.choice(["buy", "buy", "sell"])
        common = {"portfolio": "demo", "symbol": "BTC/USDT", "client_order_id": f"k{self.sent}"}
        match self.chance.choice(["market", "market", "limit", "limit", "cancel"]):
            case "market":
                send(redis, f"k{self.sent}", side, **common, quantity="0.01")
            case "limit":
                price = "1000.00" if side == "buy" else "1000000.00"
                send(
                    redis,
                    f"k{self.sent}",
                    "order.submit",
                    **common,
                    side=side,
                    type="limit",
                    quantity="0.01",
                    price=price,
                )
            case "cancel":
                send(redis, f"k{self.sent}", "order.cancel_all", portfolio="demo")


def check(tables: dict[str, list[dict[str, Any]]], events: list[dict[str, Any]]) -> None:
    """Everything must add up, to the last digit."""
    fills, orders = tables["paper_fills"], {row["id"]: row for row in tables["paper_orders"]}
    cash, coins = INITIAL, Decimal(0)
    filled: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        worth = fill["price"] * fill["quantity"]
        assert fill["fee"] == worth * FEE
        cash += (-worth if fill["side"] == "buy" else worth) - fill["fee"]
        coins += fill["quantity"] if fill["side"] == "buy" else -fill["quantity"]
        filled[fill["order_id"]] += fill["quantity"]
    balances = {row["asset"]: row for row in tables["paper_balances"]}
    assert balances["USDT"]["total"] == cash
    assert balances.get("BTC", {"total": 0})["total"] == coins
    assert sum((row["quantity"] for row in tables["paper_positions"]), Decimal(0)) == coins
    locked: defaultdict[str, Decimal] = defaultdict(Decimal)
    for identity, row in orders.items():
        assert row["filled"] == filled[identity], identity
        assert (row["status"] == "FILLED") == (row["filled"] == row["quantity"]), identity
        if row["status"] in {"NEW", "PARTIALLY_FILLED"}:
            leaves = row["quantity"] - row["filled"]
            if row["side"] == "buy":
                locked["USDT"] += row["price"] * leaves * (1 + FEE)
            else:
                locked["BTC"] += leaves
    for asset, row in balances.items():
        assert row["locked"] == locked[asset], asset
        assert 0 <= row["locked"] <= row["total"], asset
    with localcontext(prec=100):  # average cost has more digits than sums keep by themselves
        for row in tables["paper_equity"]:
            assert row["equity"] == row["initial"] + row["realized"] + row["unrealized"] - row["fees"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    on_stream = {event["seq"]: event for event in events if event["type"] == "fill"}
    assert {fill["seq"]: fill["order_id"] for fill in fills} == {seq: e["order"] for seq, e in on_stream.items()}
    ids = Counter(event["id"] for event in events if event["type"] == "order" and event["status"] == "REJECTED")
    assert all(count == 1 for count in ids.values())


def test_kill_9_while_orders_trade_loses_and_doubles_nothing(marketd: Marketd, simulate: Callable[..., Simulated]):
    chance = random.Random(5)
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready().trading()
    urls = marketd.urls()
    redis = Redis.from_url(urls["redis"])
    send(redis, "open", "portfolio.create", name="demo", initial={"USDT": str(INITIAL)})
    wait_until("the portfolio is open", lambda: replies(redis).get("open", {}).get("status") == "done")

    def fills(identity: str) -> bool:
        send(redis, identity, "buy", symbol="BTC/USDT", quantity="0.01")
        return bool(wait_until("an answer", lambda: replies(redis).get(identity)))

    wait_until(
        "the book is known",
        lambda: fills(f"try{time.monotonic()}") and stored(urls["dsn"])["paper_fills"],
    )
    trader = Trader(chance)
    for number in range(KILLS):
        trader.trade(redis, chance.uniform(0.3, 1.5))
        marketd.stop(signal.SIGKILL)
        redis.close()
        marketd.start().ready()
        redis = Redis.from_url(marketd.urls()["redis"])
        answered(redis, f"ping{number}")
    trader.trade(redis, 0.5)
    answered(redis, "last")
    exchange.control("pause", "POST")

    def settled() -> bool:
        seen = told(redis)
        return bool(seen) and seen == told(redis) and redis.xpending("md:paper_commands", "paper")["pending"] == 0

    wait_until("paper trading has caught up", settled)
    tables = stored(marketd.urls()["dsn"])
    check(tables, told(redis))
    answers = replies(redis)
    known = {row["id"] for row in tables["paper_orders"]}
    placed = {name for name, reply in answers.items() if name.startswith("k") and '"order"' in reply.get("result", "")}
    assert placed
    assert placed <= known
    assert len(tables["paper_fills"]) > KILLS
    redis.close()
