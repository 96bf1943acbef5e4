"""A bus to publish on and a client of it, on the real Valkey."""

from random import Random

import pytest

from bus.client import Client
from bus.redis import RedisBus


@pytest.fixture
async def bus(valkey_url, bus_prefix):
    bus = await RedisBus.open(valkey_url, prefix=bus_prefix, random=Random(1))
    yield bus
    await bus.close()


@pytest.fixture
async def client(valkey_url, bus_prefix):
    async with Client(valkey_url, prefix=bus_prefix, name="test", patience=5.0, random=Random(1)) as client:
        yield client
