"""Events a second from socket to stream in one process, against the simulated exchange at full rate in another.

Usage: python -m tests.bench.ingest [order events per second] [seconds]

Then what the exchange has sent in as long again is held back and let go at once, which shows the limit of this process
where the exchange has a core of its own. Afterwards as long again with the stages timed, for the shares of the CPU
time; the timing itself costs some of it.
"""

import asyncio
import sys
import time

import uvloop

from bus.redis import RedisBus
from tests.bench.collector import collecting
from tests.bench.processes import cpu
from tests.bench.servers import valkey
from tests.bench.stages import Stages
from tests.end_to_end.harness import Simulated

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT", "ETH/BTC")
CHANNELS = ("trade", "ticker", "book", "candle")


async def published(bus: RedisBus) -> int:
    """Count the events that stand on the streams, from outside: the sum of each frame's `n`."""
    total = 0
    for name in await bus.client.smembers(bus.names.directory):
        for _, fields in await bus.client.xrange(name):
            total += int(fields[b"n"])
    return total


async def measure(exchange: Simulated, bus: RedisBus, seconds: float) -> None:
    first, own, other = await published(bus), time.process_time(), cpu(exchange.process.pid)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - began
    own, other = time.process_time() - own, cpu(exchange.process.pid) - other
    await bus.flush(30)
    total = await published(bus) - first
    behind = exchange.control("state")["behind_seconds"]
    print(f"{total / elapsed:10,.0f} events/s from socket to stream ({total:,} in {elapsed:.1f} s)")
    print(f"{own / total * 1e6:10.2f} µs CPU per event here ({own / elapsed:.0%} of a core)")
    print(f"{other / elapsed:10.0%} of a core in the simulated exchange, {behind:.2f} s behind its rate")


async def measure_flood(exchange: Simulated, redis: str, seconds: float) -> None:
    """Let go at once what the exchange has sent in a time."""
    command = [sys.executable, "-m", "tests.bench.dam", str(exchange.port)]
    dam = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert dam.stdin is not None
    assert dam.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await dam.stdout.readline())}"
        async with collecting(url, redis, SYMBOLS, CHANNELS, "each") as bus:
            await asyncio.sleep(2)
            dam.stdin.write(b"close\n")
            await asyncio.sleep(seconds)
            exchange.control("pause", "POST")
            await asyncio.sleep(1)
            first, own, began = await published(bus), time.process_time(), time.perf_counter()
            dam.stdin.write(b"open\n")
            await dam.stdout.readline()
            await bus.flush(30)
            elapsed, own = time.perf_counter() - began, time.process_time() - own
            total = await published(bus) - first
            print(f"{total / elapsed:10,.0f} events/s when let go at once ({total:,} in {elapsed:.1f} s)")
            print(f"{own / total * 1e6:10.2f} µs CPU per event here ({own / elapsed:.0%} of a core)")
        exchange.control("resume", "POST")
    finally:
        dam.kill()
        await dam.wait()


async def main(rate: int, seconds: float) -> None:
    exchange = Simulated(1_000)
    try:
        with valkey() as redis:
            async with collecting(exchange.url, redis, SYMBOLS, CHANNELS, "each") as bus:
                await asyncio.sleep(2)
                # beyond what the command line allows: the daemon's limit should end it, not a setting
                exchange.control(f"rate?value={rate}", "POST")
                await asyncio.sleep(1)
                await measure(exchange, bus, seconds)
        with valkey() as redis:
            await measure_flood(exchange, redis, seconds)
        with valkey() as redis:
            stages = Stages()
            async with collecting(exchange.url, redis, SYMBOLS, CHANNELS, "each") as bus:
                await asyncio.sleep(2)
                stages.begin()
                await asyncio.sleep(seconds)
                for stage, share in stages.shares().items():
                    print(f"{share:10.0%} {stage}")
    finally:
        exchange.close()


if __name__ == "__main__":
    arguments = [float(argument) for argument in sys.argv[1:]]
    uvloop.run(main(int(arguments[0]) if arguments else 50_000, arguments[1] if len(arguments) > 1 else 8.0))
