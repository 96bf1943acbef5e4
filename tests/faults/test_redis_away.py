"""Redis is away for longer than memory would hold: the disk does, and everything lands in order when it is back.

What the disk cannot hold, or gives back damaged, becomes gaps; and a Redis that comes back empty is filled again. One
daemon serves all cases, on a Redis of its own and a spool of few megabytes.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from bus.redis.spool import SEGMENT_BYTES
from daemon.roles import HANDLERS
from tests.end_to_end.harness import PATIENCE, wait_until
from tests.end_to_end.test_exactly_once import stream_trades
from tests.faults.conftest import SYMBOLS
from tests.faults.running import Running, running_daemon
from tests.valkey import Server

AWAY = float(os.environ.get("MARKETD_TEST_AWAY", "0"))
"""Seconds for which Redis is away at least where nothing may be missing, with a spool that holds so much."""
SPOOL = 2**20 + int(AWAY * 2e6)
"""For a short time away the least that there can be: a file that is complete is too much."""
READING_TRADES = {name for name, handler in HANDLERS.items() if "trade" in handler.channels}


def rss(pid: int) -> int:
    """Resident memory, bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.fixture(scope="module")
def server(server_dir: Path) -> Iterator[Server]:
    folder = server_dir / "away"
    folder.mkdir()
    made = Server(folder)
    asyncio.run(made.start())
    yield made
    made.kill()


@pytest.fixture(scope="module")
def running(server: Server) -> Iterator[Running]:
    servers = f'[bus]\nurl = "{server.url}"\nspool_max_bytes = {SPOOL}\n[shutdown]\ndeadline = 2\n'
    with running_daemon(rate=300, symbols=SYMBOLS, servers=servers) as made:
        wait_until("trades are stored", lambda: made.rows("select from trades limit 1"))
        yield made


def segments(running: Running) -> list[Path]:
    """What is on disk, the oldest first."""
    return sorted((running.marketd.home / "data" / "spool").glob("*/*.spool"))


def spooled(running: Running) -> int:
    """How much is on disk, bytes."""
    return sum(file.stat().st_size for file in segments(running) if file.exists())


def take_away(running: Running, server: Server) -> None:
    """Kill Redis under a high rate, and wait until events go to the disk."""
    running.exchange.control("rate?value=10000", "POST")
    server.kill()
    wait_until("it is not ready", lambda: running.ready()[0] == 503)
    wait_until("events are spooled", lambda: segments(running))


def bring_back(running: Running, server: Server) -> None:
    """Start Redis again, and wait until all that waited on disk is on the bus."""
    running.exchange.control("rate?value=300", "POST")
    asyncio.run(server.start())
    wait_until("it is ready again", lambda: running.ready()[0] == 200)
    wait_until("the spool is empty", lambda: not segments(running))


def every_trade_is_stored(running: Running) -> None:
    """Wait until what is stored has no hole, up to what is printed now."""
    state = running.exchange.control("state")["symbols"]
    printed = {symbol: state[symbol.replace("/", "")]["next_trade_id"] for symbol in json.loads(SYMBOLS)}
    reach = "select symbol, count(*), min(id::int8), max(id::int8) from trades group by symbol"

    def whole() -> bool:
        rows = running.rows(reach)
        return all(row["count"] == row["max"] - row["min"] + 1 and row["max"] >= printed[row["symbol"]] for row in rows)

    wait_until("every trade is stored", whole)


def quotes_missing(running: Running, reason: str) -> list[Any]:
    """The gaps in quotes, which have no numbers and no history, of this reason."""
    like = "select symbol from feed_gaps where channel = 'ticker' and state = 'unfillable' and reason like $1"
    return running.rows(like, f"%{reason}%")


def groups(redis: "Redis[bytes]") -> set[str]:
    """The groups that read trades."""
    return {group["name"].decode() for group in redis.xinfo_groups("md:binance:trade")}


def groups_made(redis: "Redis[bytes]") -> int:
    """How often the server has been told since its start to make a group."""
    return int(redis.info("commandstats")["cmdstat_xgroup|create"]["calls"])


def test_a_redis_that_comes_back_empty_gets_its_groups_again_once(running: Running, server: Server):
    wait_until("all read trades", lambda: groups(running.redis) >= READING_TRADES)
    server.kill()
    for file in (server.folder / "appendonlydir").iterdir():
        file.unlink()
    asyncio.run(server.start())
    wait_until("it is ready again", lambda: running.ready()[0] == 200)
    wait_until("all groups are there", lambda: groups(running.redis) >= READING_TRADES)
    newest = "select max(id::int8) from trades where symbol = 'BTC/USDT'"
    before = running.rows(newest)[0][0]
    wait_until("trades are stored", lambda: running.rows(newest)[0][0] > before + 100)
    assert len(READING_TRADES) <= groups_made(running.redis) < 200
    every_trade_is_stored(running)


def test_what_was_received_meanwhile_waits_on_disk_and_nothing_is_missing(running: Running, server: Server):
    take_away(running, server)
    pid = running.marketd.process.pid
    before, size = rss(pid), spooled(running)
    end = time.monotonic() + AWAY
    wait_until(
        "some megabytes are spooled",
        lambda: spooled(running) > size + 2e6 and time.monotonic() > end,
        AWAY + PATIENCE,
    )
    assert rss(pid) < before + 20e6
    bring_back(running, server)
    every_trade_is_stored(running)
    assert max(stream_trades(running.redis).values()) == 1
    assert not running.rows("select from feed_gaps where channel in ('trade', 'ticker')")
    assert running.metric("marketd_spool_dropped_events_total") == 0


def test_beyond_the_bound_the_oldest_is_given_up_counted_and_written_as_gap(running: Running, server: Server):
    take_away(running, server)
    pid = running.marketd.process.pid
    before = rss(pid)
    wait_until("the oldest is given up", lambda: running.metric("marketd_spool_dropped_events_total") > 0)
    assert spooled(running) < SPOOL + SEGMENT_BYTES
    assert rss(pid) < before + 20e6
    bring_back(running, server)
    wait_until("the quotes given up are a gap", lambda: len(quotes_missing(running, "the spool was full")) == 6)
    every_trade_is_stored(running)


def test_what_waits_on_disk_at_the_end_is_for_the_next_one_and_what_is_damaged_there_is_a_gap(
    running: Running, server: Server
):
    take_away(running, server)
    wait_until("there is something to damage", lambda: spooled(running) > 500_000)
    running.exchange.control("rate?value=300", "POST")
    assert running.marketd.stop() == 1
    first, *_ = segments(running)
    with first.open("r+b") as file:
        file.seek(first.stat().st_size // 2)
        file.write(bytes(1_000))
    asyncio.run(server.start())
    running.marketd.start().ready()
    wait_until("the spool is empty", lambda: not segments(running))
    assert running.metric("marketd_spool_damaged_total") == 1
    wait_until("the quotes lost are a gap", lambda: len(quotes_missing(running, "was damaged")) == 6)
    every_trade_is_stored(running)
    assert running.marketd.stop() == 0
