"""A simulated exchange per test, on a free port."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from daemon.simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(rate=2_000, seed=3) as running:
        yield running


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.url) as session:
        yield session
