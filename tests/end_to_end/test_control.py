"""What an operator changes on a running daemon, seen from outside."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
from redis import Redis

from bus.client import Client
from daemon.cli.ctl import parse_arguments
from tests.end_to_end.harness import PATIENCE, Marketd, Simulated, get, wait_until
from tests.end_to_end.test_exactly_once import stream_trades


def ctl(marketd: Marketd, command: str, *arguments: str) -> Any:
    """The result of a command that must succeed, sent as `marketd ctl` sends it, without a process of its own."""

    async def send() -> Any:
        async with Client(marketd.urls()["redis"], name="ctl") as client:
            return await client.command(command, parse_arguments(list(arguments)), timeout=PATIENCE)

    return asyncio.run(send())


def refused(marketd: Marketd, *arguments: str) -> str:
    """The sentence with which a command is refused."""
    answer = marketd.run("ctl", *arguments)
    assert answer.returncode == 1, answer.stdout
    return answer.stdout


def feeds(marketd: Marketd) -> dict[tuple[str, str, str], str]:
    (collector,) = ctl(marketd, "collectors.list")
    return {(feed["symbol"], feed["channel"], feed["timeframe"]): feed["state"] for feed in collector["feeds"]}


def told(redis: "Redis[bytes]") -> list[dict[str, Any]]:
    """What was said on md:system."""
    return [e for _, fields in redis.xrange("md:system") for e in msgpack.unpackb(fields[b"events"])]


def test_symbols_come_and_go_without_touching_the_others(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])

    added = ctl(marketd, "symbols.add", "exchange=binance", 'symbols=["ETH/USDT", "NOPE/USDT"]', 'channels=["trade"]')
    assert added["added"] == [{"symbol": "ETH/USDT", "channel": "trade"}]
    assert "NOPE/USDT" in added["refused"][0]["reason"]
    wait_until("its trades come", lambda: any(symbol == "ETH/USDT" for symbol, _ in stream_trades(redis)))
    assert feeds(marketd)["ETH/USDT", "trade", ""] == "live"
    assert {row["symbol"] for row in ctl(marketd, "prices.latest")} == {"BTC/USDT", "ETH/USDT"}

    def bitcoin_prices() -> Any:
        (prices,) = ctl(marketd, "prices.latest", 'symbols=["BTC/USDT"]')
        return None not in prices.values() and prices

    bitcoin = wait_until("all is known of a price", bitcoin_prices)
    assert {"price", "change_24h", "change_24h_percent", "volume", "high_24h", "low_24h"} <= bitcoin.keys()
    assert bitcoin["age"] < 10
    assert "did you mean ETH/USDT" in refused(marketd, "prices.latest", 'symbols=["ETH/USDD"]')

    gone = ctl(marketd, "symbols.remove", "exchange=binance", 'symbols=["ETH/USDT"]')
    assert gone["removed"] == [{"symbol": "ETH/USDT", "channel": "trade"}]
    assert {symbol for symbol, _, _ in feeds(marketd)} == {"BTC/USDT"}
    before = sum(stream_trades(redis).values())
    wait_until("the others go on", lambda: sum(stream_trades(redis).values()) > before)
    downs = [e for e in told(redis) if e["type"] == "feed" and e["symbol"] == "BTC/USDT" and e["state"] == "down"]
    interrupted = [e for e in downs if e["channel"] != "book"]  # which starts anew alone when a reader asks for that
    assert not interrupted

    assert "BTC/USDT" in refused(marketd, "symbols.add", "exchange=binance", 'symbols=["BTC/USDD"]')
    assert "did you mean binance" in refused(marketd, "symbols.add", "exchange=binanse", 'symbols=["BTC/USDT"]')
    assert "BTC/USDT" in refused(marketd, "symbols.remove", "exchange=binance", 'symbols=["BTC/USD"]')
    assert "channels" in refused(
        marketd, "symbols.add", "exchange=binance", 'symbols=["BTC/USDT"]', 'channels=["trades"]'
    )
    redis.close()


def test_a_collector_is_stopped_started_and_its_breakers_forced(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])
    wait_until("trades", lambda: stream_trades(redis))

    assert ctl(marketd, "collector.stop", "exchange=binance")["state"] == "stopped"
    assert exchange.control("state")["clients"] == 0
    assert set(feeds(marketd).values()) == {"down"}
    assert ctl(marketd, "collector.start", "exchange=binance")["state"] == "running"
    wait_until("the feeds are live again", lambda: feeds(marketd)["BTC/USDT", "trade", ""] == "live")
    assert ctl(marketd, "collector.restart", "exchange=binance")["state"] == "running"

    states = ctl(marketd, "breakers.list")
    assert {(one["kind"], one["state"]) for one in states} == {("ws", "closed"), ("rest", "closed")}
    opened = ctl(marketd, "breaker.open", "exchange=binance", "kind=ws")
    assert opened == {"exchange": "binance", "ws": "forced_open"}
    wait_until("nothing is connected", lambda: exchange.control("state")["clients"] == 0)
    assert 'marketd_breaker_open{exchange="binance",kind="ws"} 1.0' in get(f"{marketd.http}/metrics")[1]
    assert ctl(marketd, "breaker.reset", "exchange=binance")["ws"] == "closed"
    wait_until("it is connected again", lambda: exchange.control("state")["clients"] >= 1)
    assert "ws" in refused(marketd, "breaker.open", "exchange=binance", "kind=websocket")
    redis.close()


def test_gaps_are_listed_and_tried_again(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])
    wait_until("trades", lambda: stream_trades(redis))
    exchange.fault("drop", symbol="BTC/USDT", channel="trade", count=5)
    (gap,) = wait_until(
        "the gap is healed", lambda: ctl(marketd, "gaps.list", "channel=trade", "state=filled", "symbol=BTC/USDT")
    )
    assert gap["exchange"] == "binance"
    assert ctl(marketd, "gap.retry", f"id={gap['id']}") == {"id": gap["id"], "state": "open"}
    wait_until("it is healed again", lambda: ctl(marketd, "gaps.list", "channel=trade", "state=filled"))
    assert "gaps.list" in refused(marketd, "gap.retry", "id=nothing")
    assert "state" in refused(marketd, "gaps.list", "state=closed")
    redis.close()
