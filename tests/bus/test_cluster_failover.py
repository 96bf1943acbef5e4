"""Three masters and three replicas, real processes: a master dies, freezes or steps down, and nothing is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bus.client import Client
from bus.frames import decode_frame
from bus.redis import RedisBus
from bus.redis.wire import ClusterWire
from tests.bus.helpers import Collecting, eventually, exchanges_apart, numbers, running, trade
from tests.cluster import Cluster, Node

EXCHANGES = ("binance", "okx", "bybit", "kraken", "coinbase", "deribit")


@pytest.fixture(scope="module")
def cluster(server_dir: Path) -> Iterator[Cluster]:
    options = ("--cluster-require-full-coverage", "no")
    cluster = Cluster(server_dir / "failover", masters=3, replicas=1, options=options)
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def bus(cluster: Cluster, bus_prefix: str) -> AsyncIterator[RedisBus]:
    await cluster.healed()
    bus = await RedisBus.open(cluster.url, prefix=bus_prefix)
    yield bus
    await bus.close()


class Load:
    """Publishes a trade of each exchange every few milliseconds, numbered from 0."""

    def __init__(self, bus: RedisBus) -> None:
        self._bus = bus
        self.published = 0

    async def run(self) -> None:
        while True:
            await self._bus.publish([trade(self.published, exchange) for exchange in EXCHANGES])
            self.published += 1
            await asyncio.sleep(0.002)


@asynccontextmanager
async def load(bus: RedisBus) -> AsyncIterator[Load]:
    made = Load(bus)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def on_the_stream(bus: RedisBus, exchange: str) -> list[int]:
    """The numbers of the trades that stand there; the frames' own must be contiguous."""
    stream = bus.names.market(exchange, "trade")
    frames = [decode_frame(stream, entry.decode(), fields)[0] for entry, fields in await bus.client.xrange(stream)]
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    return numbers([event for frame in frames for event in frame.events])


async def nothing_is_lost(bus: RedisBus, cluster: Cluster, trouble: Callable[[Node], Awaitable[object]]) -> None:
    """Make trouble for a master under load; what was published stands there once, in order, and reaches everybody."""
    handler = Collecting()
    received: set[tuple[str, int]] = set()

    async def subscribe() -> None:
        async with (
            Client(cluster.url, prefix=bus.names.prefix) as client,
            aclosing(client.subscribe(channel="trade", since=0)) as events,
        ):
            async for event in events:
                received.add((event.exchange, int(event.id)))

    subscriber = asyncio.create_task(subscribe())
    async with running(bus, handler):
        async with load(bus) as source:
            await eventually(lambda: len(handler.events) > 500)
            stream = bus.names.market("binance", "trade")
            master = await cluster.master_of(stream)
            await trouble(master)
            async with asyncio.timeout(30):
                while (successor := await cluster.master_of(stream)) in (master, None):
                    await asyncio.sleep(0.1)
            assert successor is not None
            before = int(await successor.ask("XLEN", stream))
            async with asyncio.timeout(30):
                while int(await successor.ask("XLEN", stream)) < before + 50:
                    await asyncio.sleep(0.1)
        await bus.flush(30)
        for exchange in EXCHANGES:
            assert await on_the_stream(bus, exchange) == list(range(source.published))
        wanted = {(exchange, number) for exchange in EXCHANGES for number in range(source.published)}
        await eventually(lambda: {(event.exchange, int(event.id)) for event in handler.events} == wanted, 30)
        await eventually(lambda: received == wanted or subscriber.done(), 30)
        assert not subscriber.done(), subscriber.exception()
    subscriber.cancel()
    await asyncio.gather(subscriber, return_exceptions=True)


async def test_a_master_is_killed(bus: RedisBus, cluster: Cluster):
    async def kill(master: Node) -> None:
        master.kill()

    try:
        await nothing_is_lost(bus, cluster, kill)
    finally:
        for node in cluster.nodes:
            if not node.runs:
                node.start()


@contextmanager
def thawed(*frozen: Node) -> Iterator[None]:
    """Let nodes go on afterwards that are frozen meanwhile."""
    try:
        yield
    finally:
        for node in frozen:
            node.signal(signal.SIGCONT)


async def test_a_master_freezes_and_comes_back(bus: RedisBus, cluster: Cluster):
    async def freeze(master: Node) -> None:
        master.signal(signal.SIGSTOP)

    with thawed(*cluster.nodes):
        await nothing_is_lost(bus, cluster, freeze)


async def test_while_nobody_serves_some_streams_the_others_go_on(bus: RedisBus, cluster: Cluster):
    away, *others = exchanges_apart(bus)
    handler = Collecting()
    async with running(bus, handler), Client(cluster.url, prefix=bus.names.prefix) as client:
        await bus.publish([trade(0, exchange) for exchange in (away, *others)])
        await eventually(lambda: len(handler.events) == 3)
        async with aclosing(client.subscribe(channel="trade", since=0)) as events:
            assert {(await anext(events)).exchange for _ in range(3)} == {away, *others}
            master = await cluster.master_of(bus.names.market(away, "trade"))
            assert master is not None
            nobody = (master, await cluster.replica_of(master))
            with thawed(*nobody):
                for node in nobody:
                    node.signal(signal.SIGSTOP)
                await bus.publish([trade(1, exchange) for exchange in others])
                await eventually(lambda: len(handler.events) == 5, 30)
                async with asyncio.timeout(30):
                    assert {(await anext(events)).exchange for _ in others} == set(others)
        await bus.publish([trade(1, away)])
        await eventually(lambda: len(handler.events) == 6)
    assert numbers(handler.events) == [0, 0, 0, 1, 1, 1]


async def test_a_wire_that_meets_silence_has_the_client_leave_the_node_out(
    bus: RedisBus, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bus.redis.wire.NODE_DEADLINE", 0.2)
    wire = ClusterWire(bus.client)
    assert await wire.call([("GET", "key")]) == [None]
    silent = bus.client.node_for("key")
    master = next(node for node in cluster.nodes if node.port == silent.port)
    with thawed(master):
        master.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await wire.call([("GET", "key")])
    await wire.close()
    assert silent.name not in bus.client.nodes_manager.startup_nodes


async def test_a_master_hands_over_to_its_replica(bus: RedisBus, cluster: Cluster):
    async def hand_over(master: Node) -> None:
        replica = await cluster.replica_of(master)
        await replica.ask("CLUSTER", "FAILOVER")

    await nothing_is_lost(bus, cluster, hand_over)
