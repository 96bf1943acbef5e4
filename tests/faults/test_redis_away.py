"""Redis is away for longer than memory would hold: the disk does, and everything lands in order when it is back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.end_to_end.test_exactly_once import stream_trades, table_trades
from tests.valkey import Server


def rss(pid: int) -> int:
    """Resident memory, bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def test_what_was_received_meanwhile_waits_on_disk_and_nothing_is_missing(
    marketd: Marketd, simulate: Callable[..., Simulated], server_dir: Path, bus_prefix: str
):
    exchange = simulate(rate=5_000)
    folder = server_dir / bus_prefix
    folder.mkdir()
    server = Server(folder)
    asyncio.run(server.start())
    try:
        marketd.configure(f'[bus]\nurl = "{server.url}"\n' + exchange.exchange())
        marketd.start().ready()
        redis = Redis.from_url(server.url)
        wait_until("trades are published", lambda: sum(stream_trades(redis).values()) > 500)
        redis.close()
        assert marketd.process is not None
        server.kill()
        wait_until("it is not ready", lambda: get(f"{marketd.http}/ready")[0] == 503)
        spool = marketd.home / "data" / "spool"
        wait_until("events are spooled", lambda: list(spool.glob("*/*.spool")))
        before = rss(marketd.process.pid)
        size = sum(file.stat().st_size for file in spool.glob("*/*.spool"))
        wait_until(
            "some megabytes are spooled", lambda: sum(f.stat().st_size for f in spool.glob("*/*.spool")) > size + 5e6
        )
        assert rss(marketd.process.pid) < before + 20e6
        asyncio.run(server.start())
        wait_until("it is ready again", lambda: get(f"{marketd.http}/ready")[0] == 200)
        wait_until("the spool is empty", lambda: not list(spool.glob("*/*.spool")))
        exchange.control("pause", "POST")
        redis = Redis.from_url(server.url)
        dsn = marketd.urls()["dsn"]

        def all_stored() -> bool:
            stored, _ = table_trades(dsn)
            return stored == stream_trades(redis) and max(stored.values()) == 1

        wait_until("everything is stored", all_stored)
        stored, gaps = table_trades(dsn)
        for symbol in ("BTC/USDT", "ETH/USDT"):
            ids = {int(number) for name, number in stored if name == symbol}
            assert len(ids) == max(ids) - min(ids) + 1
        assert not gaps
        redis.close()
        assert marketd.stop() == 0
    finally:
        server.kill()
