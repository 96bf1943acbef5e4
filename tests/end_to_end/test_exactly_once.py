"""Kill -9 at any moment: every trade of the exchange ends up in the table exactly once, holes are healed."""

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


def stream_trades(redis: "Redis[bytes]", source: str = "ws") -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for _, fields in redis.xrange("md:binance:trade"):
        events = msgpack.unpackb(fields[b"events"])
        found.update((event["symbol"], event["id"]) for event in events if event["source"] == source)
    return found


async def connected(dsn: str, deadline: float = 15.0) -> asyncpg.Connection:
    """Connect, also to a server that is just starting up."""
    async with asyncio.timeout(deadline):
        while True:
            try:
                return await asyncpg.connect(dsn)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)


async def _table(dsn: str) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    connection = await connected(dsn)
    try:
        trades = await connection.fetch("select symbol, id from trades where exchange = 'binance'")
        gaps = await connection.fetch("select state from feed_gaps where channel = 'trade' and from_id is not null")
    finally:
        await connection.close()
    return Counter((r["symbol"], r["id"]) for r in trades), Counter(gap["state"] for gap in gaps)


def table_trades(dsn: str) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """The trades that are stored, and how many trade gaps are in which state."""
    return asyncio.run(_table(dsn))


@pytest.mark.parametrize("seed", [1])
def test_every_trade_on_the_stream_is_a_row_exactly_once_through_kill_9(
    marketd: Marketd, simulate: Callable[..., Simulated], seed: int
):
    chance = random.Random(seed)
    exchange = simulate(rate=int(os.environ.get("MARKETD_TEST_RATE", "500")))
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
        return (streamed, stored, gaps) if streamed.keys() <= stored.keys() else None

    streamed, stored, _ = wait_until("the table has what the stream has", settled)
    assert max(streamed.values()) == 1
    assert max(stored.values()) == 1

    def complete() -> bool:
        """Every trade that the exchange printed since our first one is stored, and no gap is left open."""
        stored, gaps = table_trades(urls["dsn"])
        for symbol in SYMBOLS:
            ids = [int(i) for s, i in stored if s == symbol]
            if len(ids) != max(ids) - min(ids) + 1:
                return False
        return set(gaps) == {"filled"}

    wait_until("every gap is healed", complete)
    assert max(table_trades(urls["dsn"])[0].values()) == 1
    redis.close()
