"""Events a second through RedisBus.publish against bare pipelined XADDs of the same bytes, in one run.

Usage: python -m tests.bench.bus_throughput
"""

import asyncio
import time

import uvloop
from redis.asyncio import Redis

from bus.events import Trade
from bus.frames import encode_events
from bus.redis import RedisBus
from tests.bench.servers import valkey

EVENTS = 200_000


def trades(count: int) -> list[Trade]:
    return [Trade("x", "BTC/USDT", 1, i, "ws", str(i), "61837.63000000", "0.02000000", "buy") for i in range(count)]


async def ours(url: str, batch: int) -> float:
    bus = await RedisBus.open(url, prefix=f"b{batch}")
    events = trades(EVENTS)
    began = time.perf_counter()
    for start in range(0, EVENTS, batch):
        await bus.publish(events[start : start + batch])
        if batch == 1 and start % 64 == 0:
            await asyncio.sleep(0)
    await bus.flush(60)
    rate = EVENTS / (time.perf_counter() - began)
    await bus.close()
    return rate


async def bare(url: str, per_entry: int, per_pipeline: int) -> float:
    client = Redis.from_url(url, protocol=2)
    events = trades(EVENTS)
    began = time.perf_counter()
    for start in range(0, EVENTS, per_entry * per_pipeline):
        pipeline = client.pipeline(transaction=False)
        for first in range(start, min(EVENTS, start + per_entry * per_pipeline), per_entry):
            pipeline.xadd(f"bare{per_entry}", {"events": encode_events(events[first : first + per_entry])})
        await pipeline.execute()
    rate = EVENTS / (time.perf_counter() - began)
    await client.aclose()
    return rate


async def main() -> None:
    with valkey() as url:
        for _ in range(2):
            print(f"bare XADD, one event an entry, 64 a pipeline   {await bare(url, 1, 64):10,.0f} events/s")
            print(f"bare XADD, 64 events an entry, 8 a pipeline    {await bare(url, 64, 8):10,.0f} events/s")
            print(f"marketd, published one by one                  {await ours(url, 1):10,.0f} events/s")
            print(f"marketd, published 64 at a time                {await ours(url, 64):10,.0f} events/s")


if __name__ == "__main__":
    uvloop.run(main())
