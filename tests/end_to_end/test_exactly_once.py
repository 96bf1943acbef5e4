"""Kill -9 at any moment: every trade of the exchange ends up in the table exactly once, holes are healed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.sql import rows

KILLS = int(os.environ.get("MARKETD_TEST_KILLS", "4"))
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def stream_trades(redis: "Redis[bytes]", source: str = "ws") -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for _, fields in redis.xrange("md:binance:trade"):
        events = msgpack.unpackb(fields[b"events"])
        found.update((event["symbol"], event["id"]) for event in events if event["source"] == source)
    return found


def table_trades(dsn: str) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """The trades that are stored, and how many trade gaps are in which state."""
    trades = rows(dsn, "select symbol, id from trades where exchange = 'binance'")
    gaps = rows(dsn, "select state from feed_gaps where channel = 'trade' and from_id is not null")
    return Counter((r["symbol"], r["id"]) for r in trades), Counter(gap["state"] for gap in gaps)


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
