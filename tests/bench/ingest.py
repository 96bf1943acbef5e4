"""Events a second from socket to stream in one process, against the simulated exchange at full rate in another.

Usage: python -m tests.bench.ingest [order events per second] [seconds]
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from random import Random

import aiohttp
import uvloop

from bus.clock import SystemClock
from bus.redis import RedisBus
from daemon.collectors.exchange import ExchangeCollector, FeedSettings
from daemon.exchanges import load
from daemon.exchanges.base import Endpoints
from tests.bench.servers import valkey

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT", "ETH/BTC")
CHANNELS = ("trade", "ticker", "book", "candle")


async def published(bus: RedisBus) -> int:
    """Count the events that stand on the streams, from outside: the sum of each frame's `n`."""
    total = 0
    for name in await bus.client.smembers(bus.names.directory):
        for _, fields in await bus.client.xrange(name):
            total += int(fields[b"n"])
    return total


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main(rate: int, seconds: float) -> None:
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "daemon", "simulate", "--port", "0", "--rate", "1000", stdout=asyncio.subprocess.PIPE
    )
    assert simulator.stdout is not None
    port = (await simulator.stdout.readline()).decode().split("127.0.0.1:")[1].split(",")[0]
    url = f"http://127.0.0.1:{port}"
    with valkey() as redis:
        bus = await RedisBus.open(redis)
        settings = FeedSettings(SYMBOLS, CHANNELS, ("1m",), Endpoints(url, f"ws://127.0.0.1:{port}"))
        async with aiohttp.ClientSession() as session:
            collector = ExchangeCollector(load("binance")(), settings, bus, session, SystemClock(), Random(1))
            task = asyncio.create_task(collector.run())
            await asyncio.sleep(2)
            # beyond what the command line allows: the measurement should end at the daemon's limit, not at a setting
            await (await session.post(f"{url}/control/rate?value={rate}")).read()
            await asyncio.sleep(1)
            first, own, other = await published(bus), time.process_time(), cpu(simulator.pid)
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            elapsed = time.perf_counter() - began
            own, other = time.process_time() - own, cpu(simulator.pid) - other
            await bus.flush(30)
            total = await published(bus) - first
            state = await (await session.get(f"{url}/control/state")).json()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await bus.close()
    simulator.terminate()
    await simulator.wait()
    print(f"{total / elapsed:10,.0f} events/s from socket to stream ({total:,} in {elapsed:.1f} s)")
    print(f"{own / total * 1e6:10.2f} µs CPU per event here ({own / elapsed:.0%} of a core)")
    print(
        f"{other / elapsed:10.0%} of a core in the simulated exchange, {state['behind_seconds']:.2f} s behind its rate"
    )


if __name__ == "__main__":
    arguments = [float(argument) for argument in sys.argv[1:]]
    uvloop.run(main(int(arguments[0]) if arguments else 50_000, arguments[1] if len(arguments) > 1 else 8.0))
