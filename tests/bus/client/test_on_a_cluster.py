"""The client on a cluster, where every stream is read by a command of its own."""

import asyncio
import random
from contextlib import aclosing

import pytest

from bus.client import Client
from bus.clock import SystemClock
from bus.events import Trade
from bus.redis import RedisBus
from bus.redis.janitor import Janitor
from daemon.control import Arguments, Command, Commands, ControlServer
from tests.bus.helpers import exchanges_apart

BASE = 1_700_000_000_000_000_000
EXCHANGES = ("binance", "okx", "bybit", "kraken")


def trade(number: int, exchange: str) -> Trade:
    return Trade(exchange, "BTC/USDT", BASE + number, BASE + number, "ws", str(number), "61837.63000000", "0.02", "buy")


@pytest.fixture
async def bus(cluster_url, bus_prefix):
    bus = await RedisBus.open(cluster_url, prefix=bus_prefix)
    yield bus
    await bus.close()


@pytest.fixture
async def client(cluster_url, bus_prefix):
    async with Client(cluster_url, prefix=bus_prefix, name="test", patience=5.0) as client:
        yield client


async def take(events, count: int) -> list[Trade]:
    found: list[Trade] = []
    async with aclosing(events), asyncio.timeout(10):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_streams_in_several_slots_are_read_each_in_order(bus, client):
    exchanges = exchanges_apart(bus)
    for number in range(300):
        await bus.publish([trade(number, exchange) for exchange in exchanges])
    await bus.flush(5)
    found = await take(client.subscribe(channel="trade", since=BASE), 300 * len(exchanges))
    for exchange in exchanges:
        assert [int(event.id) for event in found if event.exchange == exchange] == list(range(300))


async def keys_asked_for(bus) -> int:
    """How often the nodes were asked which keys a command has."""
    nodes = bus.client.get_primaries()
    stats = [await bus.client.info("commandstats", target_nodes=node) for node in nodes]
    return sum(one.get("cmdstat_command|getkeys", {}).get("calls", 0) for one in stats)


async def test_reading_a_stream_needs_no_other_node(bus, client):
    await bus.publish([trade(0, exchange) for exchange in EXCHANGES])
    await bus.flush(5)
    before = await keys_asked_for(bus)
    await take(client.subscribe(channel="trade", since=BASE), len(EXCHANGES))
    assert await keys_asked_for(bus) == before


async def test_a_quiet_stream_does_not_hold_up_a_busy_one(bus, client):
    await bus.publish([trade(0, exchange) for exchange in EXCHANGES])
    await bus.flush(5)
    events = client.subscribe(channel="trade", since=BASE)
    async with aclosing(events), asyncio.timeout(5):
        for _ in EXCHANGES:
            await anext(events)
        for number in range(1, 50):  # each waits for the one before, and would wait half a second for the quiet ones
            await bus.publish([trade(number, "okx")])
            assert (await anext(events)).id == str(number)


async def test_a_durable_group_goes_on_behind_what_it_has_dealt_with(bus, client):
    everything = {(exchange, str(number)) for exchange in EXCHANGES for number in range(6)}
    for number in range(6):
        await bus.publish([trade(number, exchange) for exchange in EXCHANGES])
        await bus.flush(5)
    seen: set[tuple[str, str]] = set()
    async with aclosing(client.subscribe(channel="trade", group="reports", since=BASE)) as events, asyncio.timeout(10):
        while seen != everything:
            event = await anext(events)
            seen.add((event.exchange, event.id))
        await bus.publish([trade(6, exchange) for exchange in EXCHANGES])
        await anext(events)  # coming back for it says that all before is dealt with
    places = await bus.client.hgetall(bus.names.place("reports"))
    assert set(places) == {bus.names.market(exchange, "trade").encode() for exchange in EXCHANGES}
    later = await take(client.subscribe(channel="trade", group="reports"), len(EXCHANGES))
    assert {event.id for event in later} <= {"5", "6"}


async def test_commands_are_answered_and_streams_trimmed(bus, client):
    async def answer(_: Arguments) -> str:
        return "done"

    commands = Commands([Command("ping", Arguments, answer)])
    server = ControlServer(bus.client, bus.names, commands, lambda _: None, clock=SystemClock(), rng=random.Random(1))
    task = asyncio.create_task(server.run())
    assert [await client.command("ping", id="same") for _ in range(2)] == ["done", "done"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for number in range(300):
        await bus.publish([trade(number, "okx")])
        await bus.flush(5)
    await Janitor(bus.client, bus.url, bus.names, SystemClock(), 100).sweep()
    assert await bus.client.xlen(bus.names.market("okx", "trade")) < 300


async def test_what_handlers_keep_is_changed_and_forgotten(bus):
    await bus.state.save("handler", {"a": b"1", "b": b"2"})
    await bus.state.save("handler", {"a": b"", "c": b"3"})
    assert await bus.state.load("handler") == {"b": b"2", "c": b"3"}
