"""The exchanges that ccxt's classes are run against."""

from collections.abc import AsyncIterator

import pytest

from daemon.simulator import Simulator
from tests.daemon.collectors.ccxt.helpers import Scripted, served


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(rate=2_000, seed=3) as running:
        yield running


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with served(Scripted()) as exchange:
        yield exchange
