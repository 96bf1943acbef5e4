"""Candles a second of a download into an empty database, against the bare loop of the same requests.

The bare loop asks for the same pages, as many at a time, and only decodes the JSON: no limits, no retries, no rows. It
comes last, because the exchange counts its requests, too.

Usage: python -m tests.bench.download [days] [symbols] [jobs]
"""

import asyncio
import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from random import Random

import aiohttp
import uvloop

from bus.clock import SystemClock
from bus.local import LocalState
from daemon import logs
from daemon.config import Endpoints, Exchange
from daemon.embedded.servers import EmbeddedServers
from daemon.history.arguments import Download
from daemon.history.download import Downloader
from daemon.history.sources import Sources
from daemon.simulator.symbols import listed
from daemon.tasks import Progress
from migrations.runner import migrate

MINUTE = 60_000


async def bare(url: str, names: list[str], start: int, end: int, jobs: int) -> int:
    """Ask for every page and decode it; return the number of candles."""
    pages = product(names, range(start, end, 1_000 * MINUTE))
    found = 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal found
        for name, at in pages:
            params = {
                "symbol": name, "interval": "1m", "limit": 1_000, "startTime": at,
                "endTime": min(end, at + 1_000 * MINUTE) - 1,
            }  # fmt: skip
            async with session.get(f"{url}/api/v3/klines", params=params) as answer:
                found += len(json.loads(await answer.read()))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(jobs)))
    return found


async def main(days: int, count: int, jobs: int) -> None:
    logs.configure("error")
    command = ("simulate", "--port", "0", "--rate", "10", "--symbols", str(count), "--history-days", str(days))
    simulator = await asyncio.create_subprocess_exec(sys.executable, "-m", "daemon", *command, stdout=-1)
    assert simulator.stdout is not None
    url = "http://" + (await simulator.stdout.readline()).decode().split("http://")[1].split(",")[0]
    symbols = listed(count)
    names = [symbol.name for symbol in symbols]
    end = time.time_ns() // 60_000_000_000 * MINUTE
    start = end - days * 1_440 * MINUTE
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="mdb-") as folder:
        async with EmbeddedServers(Path(folder), valkey=False, postgres=True) as servers:
            assert servers.dsn is not None
            await migrate(servers.dsn)
            exchange = Exchange(name="binance", endpoints=Endpoints(rest=url, websocket=url.replace("http", "ws")))
            downloader = Downloader(servers.dsn, Sources({}, lambda _: exchange, LocalState(), clock, Random(1)), clock)
            asked = Download(
                exchange="binance", symbols=tuple(f"{s.base}/{s.quote}" for s in symbols), since=f"{days}d", jobs=jobs
            )
            for what in ("download", "again"):
                began, cpu = time.perf_counter(), time.process_time()
                result = await downloader.run(asked, Progress(clock, end * 1_000_000))
                seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
                rows = sum(feed["rows"] for feed in result["feeds"])  # type: ignore[index,call-overload,union-attr]
                print(f"{what}: {rows} rows in {seconds:.2f} s, {rows / seconds:,.0f}/s, {cpu:.2f} s of CPU")
            for _ in range(2):
                began = time.perf_counter()
                candles = await bare(url, names, start, end, jobs)
                seconds = time.perf_counter() - began
                print(f"bare loop: {candles} candles in {seconds:.2f} s, {candles / seconds:,.0f}/s")
    simulator.terminate()
    await simulator.wait()


if __name__ == "__main__":
    uvloop.run(main(*(int(value) for value in (*sys.argv[1:], *(30, 10, 4)[len(sys.argv) - 1 :]))))
