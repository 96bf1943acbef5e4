"""Handlers that hang, crash and run out of memory, beside a healthy one on a real bus: they alone suffer.

Nothing is lost, as seen in the consumer groups and in the metrics.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from bus.clock import SECOND, SystemClock
from bus.events import Event
from bus.handler import Batch, Handler
from bus.redis import RedisBus
from bus.subscription import Subscription
from daemon.supervisor import Supervisor
from tests.bus.helpers import Collecting, eventually, numbers, trade, trades


class Faulty(Collecting):
    """Does what it is told with the next batches, and digests the others."""

    name = "faulty"
    deadline = 0.2

    def __init__(self, *faults: str) -> None:
        super().__init__()
        self.faults = list(faults)
        self.lives = 0

    async def start(self, state: object) -> None:
        self.lives += 1

    async def handle(self, batch: Batch) -> Sequence[Event]:
        if self.faults and self.faults[0] == "hang":
            self.faults.pop(0)
            await asyncio.Event().wait()
        if self.faults and self.faults[0] == "leak":
            self.faults.pop(0)
            self.hoard = bytearray(1 << 62)
        return await super().handle(batch)

    async def tick(self, now: int) -> Sequence[Event]:
        if self.faults and self.faults[0] == "crash":
            self.faults.pop(0)
            raise RuntimeError("the handler has lost its mind")
        return await super().tick(now)


class Healthy(Collecting):
    name = "healthy"


@asynccontextmanager
async def supervised(bus: RedisBus, *handlers: Handler) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(SystemClock(), Random(1))
    for handler in handlers:
        supervisor.start(f"handle:{handler.name}", Subscription(bus, handler, SystemClock(), Random(1)).run)
    try:
        yield supervisor
    finally:
        await supervisor.stop(*supervisor.status())


@pytest.fixture
async def bus(valkey_url: str, bus_prefix: str) -> AsyncIterator[RedisBus]:
    made = await RedisBus.open(valkey_url, prefix=bus_prefix)
    yield made
    await made.close()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def pending(bus: RedisBus, group: str) -> int:
    """How many entries a group was given and has not acknowledged."""
    async with Redis.from_url(bus.url) as redis:
        groups = await redis.xinfo_groups(bus.names.market("binance", "trade"))
        return next(each["pending"] + (each["lag"] or 0) for each in groups if each["name"] == group.encode())


async def settled(bus: RedisBus, group: str) -> None:
    """Wait until a group has nothing left to do."""
    async with asyncio.timeout(60):
        while await pending(bus, group):
            await asyncio.sleep(0.02)


async def test_a_handler_that_hangs_is_given_up_at_its_deadline_and_gets_the_batch_again(bus: RedisBus):
    faulty, healthy = Faulty("hang", "hang", "hang"), Healthy()
    retries = metric("marketd_handler_retries_total", handler="faulty", reason="TimeoutError")
    async with supervised(bus, faulty, healthy):
        await bus.publish(trades(0, 100))
        await eventually(lambda: len(healthy.events) == 100 and len(faulty.faults) < 3)
        assert not faulty.events
        assert await pending(bus, "faulty") > 0
        await settled(bus, "healthy")
        await eventually(lambda: len(faulty.events) == 100)
        await settled(bus, "faulty")
    assert numbers(faulty.events) == list(range(100))
    assert metric("marketd_handler_retries_total", handler="faulty", reason="TimeoutError") == retries + 3
    assert healthy.events == faulty.events


async def test_while_a_handler_hangs_its_lag_grows(bus: RedisBus):
    slow = Faulty(*["hang"] * 1_000)
    slow.name = "slow"

    def lag() -> float:
        return metric("marketd_handler_lag_seconds", handler="slow")

    async with supervised(bus, slow):
        now = SystemClock().now()
        await bus.publish(trades(now, now + 10))
        await eventually(lambda: lag() > 1)
        assert await pending(bus, "slow") > 0
        slow.faults.clear()
        await settled(bus, "slow")
        assert (rest := lag()) > 1
        await eventually(lambda: slow.ticks > 1)
        assert lag() == rest  # who has nothing to do is not behind


async def test_the_lag_is_that_of_the_stream_that_is_farthest_behind(bus: RedisBus):
    handler = Faulty()
    handler.name = "uneven"
    now = SystemClock().now()
    for behind in ("a", "z"):  # whichever stands last in a batch
        await bus.publish([trade(now - 100 * SECOND, behind), trade(now)])
        await bus.flush(10)
        async with supervised(bus, handler):
            await eventually(lambda behind=behind: behind in {event.exchange for event in handler.events})
            await settled(bus, "uneven")
            assert 100 < metric("marketd_handler_lag_seconds", handler="uneven") < 200


async def test_a_handler_that_crashes_is_started_again_alone(bus: RedisBus):
    faulty, healthy = Faulty("crash", "crash"), Healthy()
    restarts = metric("marketd_task_restarts_total", task="handle:faulty")
    async with supervised(bus, faulty, healthy) as supervisor:
        await bus.publish(trades(0, 100))
        await eventually(lambda: faulty.lives == 3)
        await bus.publish(trades(100, 200))
        for handler in (faulty, healthy):
            await eventually(lambda handler=handler: len(set(numbers(handler.events))) == 200)
            await settled(bus, handler.name)
        assert supervisor.status()["handle:healthy"].restarts == 0
        assert supervisor.check()[0]
    assert metric("marketd_task_restarts_total", task="handle:faulty") == restarts + 2
    assert numbers(healthy.events) == list(range(200))


async def test_a_handler_that_runs_out_of_memory_begins_anew_and_no_event_is_blamed(bus: RedisBus):
    leaking, healthy = Faulty("leak"), Healthy()
    restarts = metric("marketd_task_restarts_total", task="handle:faulty")
    async with supervised(bus, leaking, healthy):
        await bus.publish(trades(0, 100))
        await eventually(lambda: leaking.lives == 2)
        for handler in (leaking, healthy):
            await eventually(lambda handler=handler: len(handler.events) == 100)
            await settled(bus, handler.name)
    assert metric("marketd_task_restarts_total", task="handle:faulty") == restarts + 1
    assert numbers(leaking.events) == list(range(100))
    assert await bus.client.xlen(bus.names.dead) == 0
