"""Kill -9 of the daemon before, between and after a batch's commit and its XACK, under 5,000 trades a second.

The moments are made from outside: a lock holds up the commit, a paused Redis the XACK. Random moments are in
tests/end_to_end/test_exactly_once.py.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.end_to_end.test_exactly_once import stream_trades, table_trades
from tests.faults.database import WRITER
from tests.valkey import Server

TRADES = "md:binance:trade"
MOMENTS = ("before the commit", "between commit and XACK", "after the XACK")


@contextmanager
def uncommitted(dsn: str) -> Iterator[None]:
    """Hold up the persistence handler behind its COPY, in front of its commit, until the block ends."""
    with asyncio.Runner() as runner:
        sql = runner.run(asyncpg.connect(dsn))
        runner.run(sql.execute("begin; lock table stream_offsets in exclusive mode"))
        held_up = f"select exists (select from pg_stat_activity where wait_event_type = 'Lock' and {WRITER})"
        wait_until("a batch waits in front of its commit", lambda: runner.run(sql.fetchval(held_up)))
        yield
        runner.run(sql.close())


def pending(redis: "Redis[bytes]") -> int:
    """How many entries the persistence handler was given and has not acknowledged."""
    return int(redis.xpending(TRADES, "persistence")["pending"])


def stored(dsn: str) -> int:
    return sum(table_trades(dsn)[0].values())


def test_no_row_is_lost_and_none_doubled_whenever_it_dies(
    server: Server, database: str, marketd: Marketd, simulate: Callable[..., Simulated]
):
    exchange = simulate(rate=5_000, symbols=2)
    marketd.configure(f'[bus]\nurl = "{server.url}"\n[store]\ndsn = "{database}"\n' + exchange.exchange())
    with Redis.from_url(server.url) as redis:
        for moment in MOMENTS:
            marketd.start().ready()
            before = stored(database)
            wait_until("trades are stored", lambda before=before: stored(database) > before + 1_000)
            match moment:
                case "before the commit":
                    with uncommitted(database):
                        assert pending(redis)
                        marketd.stop(signal.SIGKILL)
                case "between commit and XACK":
                    with uncommitted(database):
                        wait_until("a batch of trades is in hand", lambda: pending(redis))
                        before = stored(database)
                        redis.client_pause(60_000, all=False)
                    wait_until("it is committed", lambda before=before: stored(database) > before)
                    assert pending(redis)
                    marketd.stop(signal.SIGKILL)
                    redis.client_unpause()
                case "after the XACK":
                    exchange.control("pause", "POST")
                    wait_until("everything is acknowledged", lambda: not pending(redis))
                    marketd.stop(signal.SIGKILL)
                    exchange.control("resume", "POST")
        marketd.start().ready()
        before = stored(database)
        wait_until("trades are stored again", lambda: stored(database) > before + 1_000)
        exchange.control("pause", "POST")

        def complete() -> bool:
            """Every trade on the stream, and every one that the exchange printed meanwhile, is a row."""
            rows = table_trades(database)[0]
            ids = {
                symbol: [int(number) for name, number in rows if name == symbol] for symbol in ("BTC/USDT", "ETH/USDT")
            }
            whole = all(len(found) == max(found) - min(found) + 1 for found in ids.values())
            return whole and stream_trades(redis).keys() <= rows.keys()

        wait_until("nothing is missing", complete)
        assert max(table_trades(database)[0].values()) == 1
    assert marketd.stop() == 0
