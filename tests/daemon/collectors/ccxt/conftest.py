"""ccxt's own Binance class, run by a CcxtCollector against the simulated exchange over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from bus.clock import SystemClock
from bus.leadership import Leadership
from daemon.collectors.ccxt.collector import CcxtCollector
from daemon.collectors.symbols import FeedSettings
from daemon.exchanges.base import Endpoints
from daemon.simulator import Simulator
from tests.daemon.collectors.helpers import ListeningBus

SPOT = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
FOUR = ("trade", "ticker", "book", "candle")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(rate=2_000, seed=3) as running:
        yield running


def collector_of(simulator, bus, symbols=("BTC/USDT",), channels=FOUR, timeframes=("1m",)) -> CcxtCollector:
    endpoints = Endpoints(simulator.url, simulator.url.replace("http", "ws", 1))
    settings = FeedSettings(symbols, channels, timeframes, endpoints)
    clock = SystemClock()
    leadership = Leadership("feeds", bus.lease("feeds"), clock)
    return CcxtCollector("binance", settings, bus, leadership, clock, Random(1), SPOT)


@asynccontextmanager
async def running(simulator, **wanted):
    bus = ListeningBus()
    collector = collector_of(simulator, bus, **wanted)
    task = asyncio.create_task(collector.run())
    try:
        yield collector, bus
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
