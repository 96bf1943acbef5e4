"""A handler is slower than the exchanges for a while: memory stays bounded, its lag is told, nobody else is behind.

A Redis too slow for its publishers is in test_slow_redis.py; that a stream trimmed past a slow reader is healed, in
test_servers_misbehave.py. The streams are capped low, so that the cap is met.
"""

import asyncio
import os
import time
from collections.abc import Iterator

import asyncpg
import pytest

from bus.redis.publisher import RING_BYTES
from tests.end_to_end.harness import PATIENCE, wait_until
from tests.faults.conftest import SYMBOLS
from tests.faults.running import Running, running_daemon
from tests.faults.test_redis_away import rss

CAP = 1_000
"""Entries of a stream."""
HELD = float(os.environ.get("MARKETD_TEST_HELD", "0"))
"""Seconds for which the handler stands still at least."""
GROWTH = 20e6 + (1.5 * RING_BYTES if HELD else 0)
"""Bytes; in minutes the publisher also fills what it keeps for a server that loses its newest data."""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_daemon(rate=3_000, symbols=SYMBOLS, servers=f"[bus]\nmax_entries = {CAP}\n") as made:
        wait_until("trades are stored", lambda: made.rows("select from trades limit 1"))
        yield made


def test_a_handler_that_stands_still_is_seen_and_costs_no_memory(running: Running):
    def lag(handler: str) -> float:
        return running.metric("marketd_handler_lag_seconds", handler=handler)

    async def stand_still() -> None:
        """Hold the persistence handler up until its streams are trimmed."""
        sql = await asyncpg.connect(running.dsn)
        await sql.execute("begin; lock table md.trades in exclusive mode")
        look = asyncio.to_thread(look_at_it)
        try:
            await look
        finally:
            await sql.close()

    def look_at_it() -> None:
        wait_until("its lag is told", lambda: lag("persistence") > 5)
        memory, redis = rss(running.marketd.process.pid), running.redis.info("memory")["used_memory"]
        end = time.monotonic() + HELD
        wait_until(
            "the cap overtakes it",
            lambda: running.metric("marketd_forced_trims_total") > 1 and time.monotonic() > end,
            HELD + PATIENCE,
        )
        assert rss(running.marketd.process.pid) < memory + GROWTH
        assert running.redis.info("memory")["used_memory"] < redis + 50e6
        assert lag("validation") < lag("persistence") / 2
        assert running.metric("marketd_publish_blocked_seconds_total") < 1

    asyncio.run(stand_still())
    running.exchange.control("rate?value=200", "POST")
    wait_until("it catches up", lambda: lag("persistence") < 3)
    wait_until("what it missed is a gap", lambda: running.gaps("*", "trade"))
