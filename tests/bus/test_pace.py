"""A handler that may wait for more is handed few large batches, and never waits while there is much to do."""

import time

import pytest

from bus.redis import RedisBus
from tests.bus.helpers import Collecting, eventually, numbers, running, trade, trades


class Paced(Collecting):
    pace = 0.3


class Patient(Collecting):
    pace = 1_000.0
    batch_events = 1_000


@pytest.fixture
async def bus(valkey_url: str, bus_prefix: str):
    made = await RedisBus.open(valkey_url, prefix=bus_prefix)
    yield made
    await made.close()


async def test_many_small_batches_become_few(bus: RedisBus):
    handler = Paced()
    began = time.monotonic()
    async with running(bus, handler):
        for number in range(50):
            await bus.publish([trade(number)])
            await bus.flush(5)
        await eventually(lambda: len(handler.events) == 50)
    assert numbers(handler.events) == list(range(50))
    assert len(handler.batches) <= 2 + (time.monotonic() - began) / handler.pace


async def test_a_backlog_is_not_waited_in(bus: RedisBus):
    await bus.publish(trades(0, 100_000))
    await bus.flush(30)
    handler = Patient()
    async with running(bus, handler):
        await eventually(lambda: len(handler.events) == 100_000)
    assert len(handler.batches) > 1
