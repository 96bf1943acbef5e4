"""Latency publish → handler against the bare XADD → XREADGROUP round trip of the same client, in one run.

Usage: python -m tests.bench.bus_latency [events per second …]
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from random import Random

import uvloop
from redis.asyncio import Redis

from bus.clock import SystemClock
from bus.events import Event, Trade
from bus.handler import Batch, Handler
from bus.redis import RedisBus
from bus.subscription import Subscription
from tests.bench.servers import valkey

SECONDS = 4.0


class Timing(Handler):
    name = "timing"

    def __init__(self) -> None:
        self.delays: list[int] = []

    async def handle(self, batch: Batch) -> Sequence[Event]:
        now = time.perf_counter_ns()
        self.delays += [now - event.recv for event in batch.events]
        return ()


async def paced(rate: int, send) -> None:
    """Call `send(times)` with the moments (ns) at which events were due, as evenly as the loop allows.

    Latency counts from when an event was due, so that a sender that was held up hides nothing.
    """
    began = time.perf_counter_ns()
    sent = 0
    while (elapsed := time.perf_counter_ns() - began) < SECONDS * 1e9:
        due = int(elapsed * rate / 1e9)
        if due > sent:
            await send([began + round(number * 1e9 / rate) for number in range(sent + 1, due + 1)])
            sent = due
        await asyncio.sleep(0 if rate > 2_000 else 1 / rate / 4)


async def ours(url: str, rate: int) -> list[int]:
    bus = await RedisBus.open(url, prefix=f"b{rate}")
    handler = Timing()
    task = asyncio.create_task(Subscription(bus, handler, SystemClock(), Random(1)).run())
    await asyncio.sleep(0.5)

    async def send(times: list[int]) -> None:
        await bus.publish([Trade("x", "BTC/USDT", 1, due, "ws", "1", "61837.63", "0.02", "buy") for due in times])

    await send([time.perf_counter_ns()])
    await asyncio.sleep(1.2)
    handler.delays.clear()
    await paced(rate, send)
    await bus.flush(10)
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bus.close()
    return handler.delays


async def bare(url: str, rate: int) -> list[int]:
    """One XADD an event, each awaited, and a reader that acknowledges each read."""
    writer, reader = Redis.from_url(url, protocol=2), Redis.from_url(url, protocol=2)
    stream = f"bare{rate}"
    await writer.xgroup_create(stream, "g", mkstream=True)
    delays: list[int] = []

    async def read() -> None:
        while True:
            for _, entries in await reader.xreadgroup("g", "c", {stream: ">"}, count=1_000, block=1_000) or []:
                now = time.perf_counter_ns()
                delays.extend(now - int(fields[b"t"]) for _, fields in entries)
                await reader.xack(stream, "g", *[entry for entry, _ in entries])

    async def send(times: list[int]) -> None:
        pipeline = writer.pipeline(transaction=False)
        for due in times:
            pipeline.xadd(stream, {"t": due, "events": b"x" * 120})
        await pipeline.execute()

    task = asyncio.create_task(read())
    await paced(rate, send)
    await asyncio.sleep(0.2)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await writer.aclose()
    await reader.aclose()
    return delays


def row(name: str, delays: list[int]) -> list[float]:
    ordered = sorted(delays)
    values = [ordered[min(len(ordered) - 1, int(len(ordered) * q))] / 1_000 for q in (0.5, 0.99, 0.999)]
    print(f"  {name:<8} n={len(ordered):<7} p50 {values[0]:8.0f}  p99 {values[1]:8.0f}  p99.9 {values[2]:8.0f} µs")
    return values


async def main(rates: list[int]) -> None:
    with valkey() as url:
        for rate in rates:
            print(f"{rate} events/s")
            base = row("bare", await bare(url, rate))
            own = row("marketd", await ours(url, rate))
            print("  ratio    " + "  ".join(f"{a / b:.2f}" for a, b in zip(own, base, strict=True)))


if __name__ == "__main__":
    uvloop.run(main([int(a) for a in sys.argv[1:]] or [1_000, 10_000]))
