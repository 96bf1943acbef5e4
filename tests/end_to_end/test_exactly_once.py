"""Kill -9 at any moment: what stands on the trade stream is in the table exactly once, holes are written down."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import asyncpg
import msgpack
import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until

KILLS = int(os.environ.get("MARKETD_TEST_KILLS", "4"))
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def stream_trades(redis: "Redis[bytes]") -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for _, fields in redis.xrange("md:binance:trade"):
        found.update((event["symbol"], event["id"]) for event in msgpack.unpackb(fields[b"events"]))
    return found


async def connected(dsn: str, deadline: float = 15.0) -> asyncpg.Connection:
    """Connect, also to a server that is just starting up."""
    async with asyncio.timeout(deadline):
        while True:
            try:
                return await asyncpg.connect(dsn)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)


async def _table(dsn: str) -> tuple[Counter[tuple[str, str]], list[tuple[str, int, int]]]:
    connection = await connected(dsn)
    try:
        trades = await connection.fetch("select symbol, id from trades where exchange = 'binance'")
        gaps = await connection.fetch(
            "select symbol, from_id, to_id from feed_gaps where channel = 'trade' and from_id is not null"
        )
    finally:
        await connection.close()
    return Counter((r["symbol"], r["id"]) for r in trades), [(g[0], int(g[1]), int(g[2])) for g in gaps]


def table_trades(dsn: str) -> tuple[Counter[tuple[str, str]], list[tuple[str, int, int]]]:
    return asyncio.run(_table(dsn))


@pytest.mark.parametrize("seed", [1])
def test_every_trade_on_the_stream_is_a_row_exactly_once_through_kill_9(
    marketd: Marketd, simulate: Callable[..., Simulated], seed: int
):
    chance = random.Random(seed)
    exchange = simulate(rate=int(os.environ.get("MARKETD_TEST_RATE", "2000")))
    marketd.configure(exchange.exchange())
    for _ in range(KILLS):
        marketd.start().ready()
        time.sleep(chance.uniform(0.0, 1.5))  # the moment of the kill is the input here, not a wait
        marketd.stop(signal.SIGKILL)
    marketd.start().ready()
    urls = marketd.urls()
    redis = Redis.from_url(urls["redis"])
    before = sum(stream_trades(redis).values())
    wait_until("the last daemon publishes", lambda: sum(stream_trades(redis).values()) > before + 200)
    exchange.control("pause", "POST")

    def settled() -> Any:
        streamed = stream_trades(redis)
        stored, gaps = table_trades(urls["dsn"])
        return (streamed, stored, gaps) if streamed.keys() == stored.keys() else None

    streamed, stored, _ = wait_until("the table has what the stream has", settled)
    assert max(streamed.values()) == 1
    assert max(stored.values()) == 1

    def covered() -> bool:
        """Every trade that the exchange printed since our first one is stored, or inside a written gap."""
        stored, gaps = table_trades(urls["dsn"])
        for symbol in SYMBOLS:
            ids = [int(i) for s, i in stored if s == symbol]
            missing = set(range(min(ids), max(ids) + 1)).difference(ids)
            if not all(any(s == symbol and a <= i <= b for s, a, b in gaps) for i in missing):
                return False
        return True

    wait_until("every missing trade is inside a written gap", covered)
    redis.close()
