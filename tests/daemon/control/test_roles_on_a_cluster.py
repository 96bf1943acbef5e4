"""The users of deploy/redis/users.acl on a cluster: what each may do works there too, and nothing else does."""

import asyncio
import random
from contextlib import aclosing

import pytest

from bus.client import Client
from bus.clock import SystemClock
from bus.errors import BusUnavailable, CommandRejected, NotPermitted
from bus.events import Trade
from bus.interface import Group
from bus.redis import RedisBus
from bus.redis.janitor import Janitor
from daemon.control import Arguments, Command, Commands, ControlServer
from tests.cluster import Cluster
from tests.valkey import with_passwords

BASE = 1_700_000_000_000_000_000
TRADE = Trade("binance", "BTC/USDT", BASE, BASE, "ws", "1", "61837.63", "0.02", "buy")


@pytest.fixture(scope="module")
def guarded(server_dir):
    users = server_dir / "users.acl"
    users.write_text(with_passwords())
    cluster = Cluster(server_dir / "guarded", options=("--aclfile", str(users)), password="default")
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def bus(guarded):
    bus = await RedisBus.open(guarded.url_of("marketd"))
    yield bus
    await bus.close()


async def test_the_daemon_can_do_its_work(bus):
    lease = bus.lease("x")
    bus.fence("binance", lease)
    assert await lease.renew()
    consumer = await bus.consumer(Group("g", frozenset({"trade"})))
    await bus.publish([TRADE])
    await bus.flush(5)
    async with asyncio.timeout(5):
        while not (delivery := await consumer.read(0.1)).frames:
            pass
    await consumer.ack(delivery.frames)
    await consumer.close()
    await bus.state.save("g", {"a": b"1", "b": b""})
    await lease.release()
    await Janitor(bus.client, bus.url, bus.names, SystemClock(), 10).sweep()


@pytest.mark.parametrize("user", ["subscriber", "reader", "trader", "operator"])
async def test_everybody_may_subscribe_durably(guarded, bus, user):
    await bus.publish([TRADE])
    await bus.flush(5)
    async with Client(guarded.url_of(user)) as client:
        for _ in range(2):
            async with aclosing(client.subscribe(channel="trade", since=BASE, group="mine")) as events:
                assert await anext(events) == TRADE


async def test_each_user_gets_done_what_he_may_and_nothing_else(guarded, bus):
    async def answer(_: Arguments) -> str:
        return "done"

    commands = Commands([Command(name, Arguments, answer) for name in ("ping", "drain")])
    server = ControlServer(bus.client, bus.names, commands, lambda _: None, clock=SystemClock(), rng=random.Random(1))
    task = asyncio.create_task(server.run())
    for user, access in (("reader", "read"), ("trader", "trade"), ("operator", "operate")):
        async with Client(guarded.url_of(user), access=access, name=user) as client:
            assert await client.command("ping") == "done"
            if access == "operate":
                assert await client.command("drain") == "done"
            else:
                with pytest.raises(CommandRejected):
                    await client.command("drain")
    for user, access in (("subscriber", "read"), ("reader", "operate"), ("trader", "operate")):
        async with Client(guarded.url_of(user), access=access) as client:
            with pytest.raises(NotPermitted):
                await client.command("ping")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_wrong_password_is_said_so_without_quoting_it(guarded):
    url = guarded.url.replace("://", "://marketd:not-the-password@")
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1") as raised:
        await RedisBus.open(url)
    assert "not-the-password" not in str(raised.value)
    async with Client(url) as client:
        with pytest.raises(NotPermitted):
            await client.command("ping")
