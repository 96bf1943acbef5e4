"""Marketd's collector alone, from an exchange onto the streams: what `ingest` and `peers` measure.

As a program: python -m tests.bench.collector EXCHANGE_URL REDIS_URL SYMBOL,SYMBOL; it runs until it is killed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Literal

import aiohttp
import uvloop

from bus.clock import SystemClock
from bus.leadership import Leadership
from bus.redis import RedisBus
from daemon.collectors.exchange import ExchangeCollector, FeedSettings
from daemon.exchanges.base import Endpoints
from daemon.exchanges.binance import Binance


@asynccontextmanager
async def collecting(
    exchange: str, redis: str, symbols: Sequence[str], channels: Sequence[str], trades: Literal["each", "aggregate"]
) -> AsyncIterator[RedisBus]:
    """Publish while entered; give the bus. It is woken and leased as in the daemon."""
    bus = await RedisBus.open(redis)
    clock = SystemClock()
    endpoints = Endpoints(exchange, exchange.replace("http", "ws", 1))
    settings = FeedSettings(symbols, channels, ("1m",), endpoints)
    async with aiohttp.ClientSession() as session:
        leadership = Leadership("feeds", bus.lease("feeds"), clock)
        collector = ExchangeCollector(Binance(trades=trades), settings, bus, leadership, session, clock, Random(1))
        tasks = [asyncio.create_task(collector.run()), asyncio.create_task(leadership.run())]
        yield bus
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await bus.close()


async def main(exchange: str, redis: str, symbols: str) -> None:
    async with collecting(exchange, redis, symbols.split(","), ("trade", "book"), "aggregate"):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
