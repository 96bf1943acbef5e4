"""The users of deploy/redis/users.acl on a real server: what each may do works, and nothing else does."""

import asyncio
import random
from contextlib import aclosing

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from bus.client import Client
from bus.clock import SystemClock
from bus.errors import CommandRejected, NotPermitted
from bus.events import MARKET_CHANNELS, Trade
from bus.interface import Group
from bus.redis import RedisBus
from bus.redis.janitor import Janitor
from daemon.control import Arguments, Command, Commands, ControlServer
from tests.valkey import USERS, USERS_FILE, Server, with_passwords

BASE = 1_700_000_000_000_000_000
TRADE = Trade("binance", "BTC/USDT", BASE, BASE, "ws", "1", "61837.63", "0.02", "buy")


@pytest.fixture
async def start(server_dir, bus_prefix):
    """Start a server with a file of users."""
    server = Server(server_dir / bus_prefix)
    server.folder.mkdir()

    async def started(users: str) -> Server:
        (server.folder / "users.acl").write_text(users)
        await server.start("--aclfile", "users.acl")
        return server

    yield started
    server.kill()


@pytest.fixture
async def guarded(start):
    return await start(with_passwords())


@pytest.fixture
async def bus(guarded):
    bus = await RedisBus.open(guarded.url_of("marketd"))
    yield bus
    await bus.close()


@pytest.fixture
async def control(bus):
    """The command server with a command of each kind."""
    done = []

    async def note(_: Arguments) -> int:
        done.append(1)
        return len(done)

    commands = Commands([Command(name, Arguments, note) for name in ("ping", "paper.buy", "drain")])
    server = ControlServer(bus.client, bus.names, commands, lambda _: None, clock=SystemClock(), rng=random.Random(1))
    task = asyncio.create_task(server.run())
    yield done
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_every_channel_is_in_the_file():
    text = USERS_FILE.read_text()
    for user in ("subscriber", "reader", "trader"):
        (line,) = (line for line in text.splitlines() if line.startswith(f"user {user} "))
        assert all(f"%R~md:*:{channel} " in line for channel in MARKET_CHANNELS)


async def test_nobody_gets_in_before_there_is_a_password(start):
    guarded = await start(USERS_FILE.read_text())
    for user in USERS:
        for url in (guarded.url_of(user), guarded.url_of(user).replace(f":{user}@", "@")):
            async with Client(url) as client:
                with pytest.raises(NotPermitted):
                    await client.command("ping")


async def test_the_daemon_can_do_its_work(bus):
    consumer = await bus.consumer(Group("g", frozenset({"trade"})))
    await bus.publish([TRADE])
    await bus.flush(5)
    async with asyncio.timeout(60):
        while not (delivery := await consumer.read(0.1)).frames:
            pass
    await consumer.ack(delivery.frames)
    await consumer.close()
    await bus.state.save("g", {"a": b"1", "b": b""})
    lease = bus.lease("x")
    assert await lease.renew()
    await lease.release()
    await Janitor(bus.client, bus.url, bus.names, SystemClock(), 10).sweep()


@pytest.mark.parametrize("user", ["subscriber", "reader", "trader", "operator"])
async def test_everybody_may_subscribe_durably_and_write_on_no_stream(guarded, bus, user):
    await bus.publish([TRADE])
    await bus.flush(5)
    async with Client(guarded.url_of(user)) as client:
        for _ in range(2):
            async with aclosing(client.subscribe(channel="trade", since=BASE, group="mine")) as events:
                assert await anext(events) == TRADE
    async with Redis.from_url(guarded.url_of(user)) as redis:
        for stream in ("md:binance:trade", "md:system", "md:replies", "md:paper", "md:dead", "other"):
            with pytest.raises(NoPermissionError):
                await redis.xadd(stream, {"x": "1"})
        for forbidden in ("DEL md:binance:trade", "FLUSHALL", "CONFIG GET *", "CLIENT KILL TYPE normal", "KEYS *",
                          "XTRIM md:binance:trade MAXLEN 0", "GET md:lease:feeds", "ACL LIST", "SHUTDOWN",
                          "EVAL return(1) 0"):  # fmt: skip
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*forbidden.split())


@pytest.mark.parametrize(
    ("user", "stream", "allowed"),
    [
        ("subscriber", "md:commands", False),
        ("subscriber", "md:commands:read", False),
        ("subscriber", "md:commands:trade", False),
        ("reader", "md:commands", False),
        ("reader", "md:commands:read", True),
        ("reader", "md:commands:trade", False),
        ("trader", "md:commands", False),
        ("trader", "md:commands:read", True),
        ("trader", "md:commands:trade", True),
        ("operator", "md:commands", True),
        ("operator", "md:commands:read", True),
        ("operator", "md:commands:trade", True),
    ],
)
async def test_who_may_send_commands_where(guarded, user, stream, allowed):
    async with Redis.from_url(guarded.url_of(user)) as redis:
        if allowed:
            assert await redis.xadd(stream, {"command": "ping"})
        else:
            with pytest.raises(NoPermissionError):
                await redis.xadd(stream, {"command": "ping"})


async def test_each_user_gets_done_what_he_may_and_nothing_else(guarded, control):
    expected = {
        ("reader", "read"): {"ping"},
        ("trader", "read"): {"ping"},
        ("trader", "trade"): {"ping", "paper.buy"},
        ("operator", "operate"): {"ping", "paper.buy", "drain"},
    }
    for (user, access), may in expected.items():
        async with Client(guarded.url_of(user), access=access, name=user) as client:
            for command in ("ping", "paper.buy", "drain"):
                before = len(control)
                if command in may:
                    assert await client.command(command) == before + 1
                else:
                    with pytest.raises(CommandRejected) as refused:
                        await client.command(command)
                    assert refused.value.code == "not_permitted"
                    assert len(control) == before
    for user, access in (("subscriber", "read"), ("reader", "operate"), ("reader", "trade"), ("trader", "operate")):
        async with Client(guarded.url_of(user), access=access) as client:
            with pytest.raises(NotPermitted):
                await client.command("ping")
