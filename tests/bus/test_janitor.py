"""The janitor trims what nobody needs any more, and nothing else."""

import pytest

from bus.clock import SystemClock
from bus.redis import RedisBus
from bus.redis.janitor import Janitor
from tests.bus.helpers import TRADES, read_numbers, streamed, trade
from tests.valkey import Server


async def test_the_janitor_trims_what_is_read_and_keeps_what_is_not(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.redis.janitor.KEEP_MS", -1_000)
    bus = await RedisBus.open(server.url)
    consumer = await bus.consumer(TRADES)
    for number in range(1_000):
        await bus.publish([trade(number)])
        await bus.flush(5)
    unread = 1_000 - len(await read_numbers(consumer, 600))
    await consumer.close()
    await Janitor(bus.client, server.url, bus.names, SystemClock(), 1_000_000).sweep()
    left, _ = await streamed(server.url)
    assert unread <= len(left) < 1_000
    assert left[-1] == 999
    capped = Janitor(bus.client, server.url, bus.names, SystemClock(), 150)
    await capped.sweep()
    assert len((await streamed(server.url))[0]) <= 300
    await bus.close()


async def test_what_is_acknowledged_while_the_janitor_looks_does_not_stop_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    bus = await RedisBus.open(server.url)
    await bus.client.xgroup_create(bus.names.replies, "g", "0", mkstream=True)
    entry = await bus.client.xadd(bus.names.replies, {"id": "1"})
    await bus.client.xreadgroup("g", "me", {bus.names.replies: ">"})
    ask = bus.client.xpending

    async def acknowledged_meanwhile(stream: str, group: bytes) -> dict[str, object]:
        await bus.client.xack(stream, group, entry)
        return await ask(stream, group)

    monkeypatch.setattr(bus.client, "xpending", acknowledged_meanwhile)
    await Janitor(bus.client, server.url, bus.names, SystemClock(), 1_000).sweep()
    assert await bus.client.xlen(bus.names.replies) == 1
    await bus.close()


async def test_replies_go_sooner_than_events(server: Server):
    bus = await RedisBus.open(server.url)
    half_an_hour_ago = SystemClock().now() // 1_000_000 - 1_800_000
    for stream in (bus.names.replies, bus.names.system):
        for number in range(500):
            await bus.client.xadd(stream, {"x": "1"}, id=f"{half_an_hour_ago}-{number + 1}")
    await Janitor(bus.client, server.url, bus.names, SystemClock(), 1_000_000).sweep()
    assert await bus.client.xlen(bus.names.replies) < 150  # whole nodes go
    assert await bus.client.xlen(bus.names.system) == 500
    await bus.close()
