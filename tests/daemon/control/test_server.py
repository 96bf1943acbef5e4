"""The command server against a real Valkey, driven by what any client can send."""

import asyncio
import contextlib
import json
import random
from decimal import Decimal

import pytest
from pydantic import Field
from redis.asyncio import Redis

from bus.clock import MILLISECOND, SystemClock
from bus.errors import MarketdError
from bus.streams import StreamNames
from daemon.control import Arguments, Command, Commands, ControlServer, rate
from daemon.control.basic import log_level, ping, status
from daemon.control.ending import Shutdown
from daemon.control.stream import CONSUMER, GROUP
from daemon.supervisor import RoleStatus


class Add(Arguments):
    number: int = Field(description="what to add")


class Counting:
    """A command with an effect that can be counted, and that can be held up or made to fail."""

    def __init__(self):
        self.total = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self, arguments: Add):
        self.begun.set()
        self.total += arguments.number
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {"total": self.total, "price": Decimal("1.10")}


async def nothing(_: Arguments) -> None:
    """Do nothing."""


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
async def redis(valkey_url, bus_prefix, request):
    async with Redis.from_url(
        valkey_url,
        protocol=request.param,
        client_name=bus_prefix,
        socket_timeout=None,  # as the bus has it
    ) as client:
        yield client


@pytest.fixture
def names(bus_prefix):
    return StreamNames(bus_prefix)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def records():
    return []


@pytest.fixture
def ending():
    return asyncio.Event()


@pytest.fixture
async def serve(redis, names, counting, records, ending):
    """Start a server; call what it returns to end it, as a crash of the process would."""
    clock = SystemClock()
    role = RoleStatus("running", 5, 0, "")
    commands = Commands(
        [
            ping(clock),
            status("1.2.3", lambda: {"collector": role}, {"bus": lambda: (False, "away")}),
            log_level(),
            Command("add", Add, counting, deadline=0.3),
            Command("paper.buy", Arguments, nothing),
            Command("paper.hold", Add, counting),
            Shutdown(ending.set),
        ]
    )
    tasks = []

    def serve(client=redis):
        server = ControlServer(client, names, commands, records.append, clock=clock, rng=random.Random(1))
        task = asyncio.create_task(server.run())
        tasks.append(task)

        async def end():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        return end

    yield serve
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Client:
    """Somebody else's program: XADD and XREAD."""

    def __init__(self, redis, names):
        self.redis = redis
        self.names = names
        self.seen = 0

    async def send(self, access="operate", **fields) -> str:
        return (await self.redis.xadd(self.names.commands_for(access), fields)).decode()

    async def replies(self, count=1) -> list[dict]:
        """Wait for the next replies."""
        async with asyncio.timeout(60):
            while True:
                entries = (await self.redis.xrange(self.names.replies))[self.seen :]
                if len(entries) >= count:
                    self.seen += len(entries)
                    return [self.reply(fields) for _, fields in entries]
                await asyncio.sleep(0.005)

    @staticmethod
    def reply(fields) -> dict:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        return {name: json.loads(value) if name in ("result", "error") else value for name, value in text.items()}

    async def ask(self, **fields) -> dict:
        await self.send(**fields)
        (reply,) = await self.replies()
        return reply


@pytest.fixture
async def client(valkey_url, names):
    async with Redis.from_url(valkey_url) as redis:
        yield Client(redis, names)


async def test_the_bare_command_of_the_documentation(serve, client):
    serve()
    entry = await client.send(command="status")
    (reply,) = await client.replies()
    assert (reply["id"], reply["command"], reply["status"]) == (entry, "status", "done")
    assert reply["result"] == {
        "version": "1.2.3",
        "ready": False,
        "checks": {"bus": {"ok": False, "detail": "away"}},
        "roles": {"collector": {"state": "running", "since": 5, "restarts": 0, "last_error": ""}},
    }
    assert reply["client"] == ""
    assert "error" not in reply


async def test_id_and_client_come_back(serve, client, records):
    serve()
    reply = await client.ask(command="ping", id="a1", client="joe")
    assert (reply["id"], reply["client"], reply["status"]) == ("a1", "joe", "done")
    assert reply["result"]["pong"] > 0
    (record,) = records
    assert (record.id, record.client, record.command, record.status) == ("a1", "joe", "ping", "done")
    assert record.ts <= record.finished_at


async def test_the_process_ends_once_the_sender_has_its_answer_and_not_again(serve, client, ending):
    end = serve()
    await client.send(command="shutdown", id="bye")
    async with asyncio.timeout(60):
        await ending.wait()
    assert await client.redis.xlen(client.names.replies) == 1
    (reply,) = await client.replies()
    assert (reply["status"], reply["result"]) == ("done", {"state": "ending"})
    await end()
    ending.clear()
    serve()
    assert (await client.ask(command="shutdown", id="bye"))["status"] == "done"
    assert (await client.ask(command="shutdown", args='{"now": true}'))["status"] == "rejected"
    assert not ending.is_set()


async def test_what_was_sent_before_the_daemon_ran_is_done(serve, client):
    await client.send(command="ping", id="early")
    serve()
    assert (await client.replies())[0]["id"] == "early"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"command": "pong"}, ("unknown_command", 'there is no command "pong"; did you mean ping?')),
        (
            {"command": "zzz"},
            ("unknown_command", "there are add, log.level, paper.buy, paper.hold, ping, shutdown, status"),
        ),
        ({"command": "add"}, ("bad_arguments", "number is missing: what to add")),
        ({"command": "add", "args": '{"number": "x"}'}, ("bad_arguments", 'number = "x": should be a valid integer')),
        ({"command": "add", "args": '{"number": 1, "numbr": 2}'}, ("bad_arguments", "did you mean number?")),
        ({"command": "add", "args": "{"}, ("malformed", "args is no JSON object")),
        ({"command": "add", "args": "[" * 9999}, ("malformed", "args is no JSON object")),
        ({"command": "add", "args": "[1]"}, ("malformed", "args is no JSON object")),
        ({"command": "add", "arg": "{}"}, ("malformed", 'there is no field "arg"; did you mean args?')),
        ({"command": "add", "args": '{"number": NaN}'}, ("malformed", "NaN is no JSON number")),
        ({"command": "add", "args": '{"number": [{"a\\u0000": 1}]}'}, ("malformed", "args holds a NUL character")),
        ({"command": "add", "args": '{"number": "\\ud800"}'}, ("malformed", "half of a surrogate pair")),
        ({"command": "ping", "client": "a\0b"}, ("malformed", "client holds a NUL character")),
        ({"command": "pi\0ng"}, ("malformed", "command holds a NUL character")),
        ({"command": "ping", "expires": "1000"}, ("expired", "had expired")),
        ({"command": "ping", "expires": "soon"}, ("malformed", "expires is no whole number")),
        ({"command": "log.level", "args": '{"level": "debgu"}'}, ("bad_arguments", "did you mean debug?")),
        ({"client": "x"}, ("malformed", "the field command is missing")),
        ({"command": "x" * 20_000}, ("too_large", "at most 16384")),
        ({"command": b"\xff"}, ("malformed", "command is no UTF-8 text")),
        ({b"\xff": "x"}, ("malformed", "a field name is no UTF-8 text")),
    ],
)
async def test_what_is_wrong_is_answered_by_name(serve, client, counting, fields, expected):
    serve()
    reply = await client.ask(id="me", **fields) if b"\xff" not in fields else await raw(client, fields)
    code, message = expected
    assert (reply["status"], reply["error"]["code"]) == ("rejected", code)
    assert message in reply["error"]["message"]
    assert counting.total == 0
    assert (await client.ask(command="ping"))["status"] == "done"


async def raw(client, fields):
    await client.redis.xadd(client.names.commands, fields)
    (reply,) = await client.replies()
    return reply


async def test_five_megabytes_are_answered_and_thrown_away(serve, client):
    serve()
    reply = await client.ask(command="ping", id="big", args="x" * 5_000_000)
    assert (reply["id"], reply["error"]["code"]) == ("big", "too_large")
    await client.ask(command="ping")
    entries = await client.redis.xrange(client.names.commands)
    assert sum(len(value) for _, fields in entries for value in fields.values()) < 100


async def test_the_same_id_gets_the_same_reply_and_is_done_once(serve, client, counting):
    end = serve()
    first = await client.ask(command="add", args='{"number": 5}', id="once")
    assert first["result"] == {"total": 5, "price": "1.10"}
    assert await client.ask(command="add", args='{"number": 5}', id="once") == first
    await end()
    serve()
    assert await client.ask(command="add", args='{"number": 5}', id="once") == first
    assert counting.total == 5


async def test_a_command_cut_by_a_crash_is_answered_and_not_done_twice(serve, client, counting):
    counting.gate.clear()
    end = serve()
    await client.send(command="add", args='{"number": 5}', id="cut")
    await asyncio.wait_for(counting.begun.wait(), 60)
    await end()
    counting.gate.set()
    serve()
    (reply,) = await client.replies()
    assert (reply["status"], reply["error"]["code"]) == ("failed", "interrupted")
    assert counting.total == 5


async def test_a_command_read_but_not_begun_before_a_crash_is_done(serve, client, names, redis):
    await redis.xgroup_create(names.commands, GROUP, "0", mkstream=True)
    await client.send(command="ping", id="read")
    await redis.xreadgroup(GROUP, CONSUMER, {names.commands: ">"})
    serve()
    assert (await client.replies())[0]["status"] == "done"


async def test_a_pending_entry_that_was_deleted_is_passed_over(serve, client, names, redis):
    await redis.xgroup_create(names.commands, GROUP, "0", mkstream=True)
    entry = await client.send(command="ping")
    await redis.xreadgroup(GROUP, CONSUMER, {names.commands: ">"})
    await redis.xdel(names.commands, entry)
    serve()
    assert (await client.ask(command="ping", id="next"))["id"] == "next"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MarketdError("the exchange is on fire"), ("failed", "the exchange is on fire")),
        (ZeroDivisionError("x"), ("internal", "ZeroDivisionError: x")),
        (MarketdError("no redis://:hunter2@h"), ("failed", "no redis://:***@h")),
    ],
)
async def test_a_command_that_fails_says_why(serve, client, counting, error, expected):
    counting.error = error
    serve()
    reply = await client.ask(command="add", args='{"number": 1}')
    assert (reply["status"], (reply["error"]["code"], reply["error"]["message"])) == ("failed", expected)
    assert (await client.ask(command="ping"))["status"] == "done"


async def test_a_command_that_hangs_is_ended(serve, client, counting):
    counting.gate.clear()
    serve()
    reply = await client.ask(command="add", args='{"number": 1}')
    assert (reply["status"], reply["error"]["code"]) == ("failed", "timeout")


async def test_a_command_that_has_not_expired_is_done(serve, client):
    serve()
    later = SystemClock().now() // MILLISECOND + 60_000
    assert (await client.ask(command="ping", expires=str(later)))["status"] == "done"


async def test_a_stream_that_vanishes_is_made_again(serve, client, names, redis):
    serve()
    await client.ask(command="ping")
    await redis.delete(names.commands)
    assert (await client.ask(command="ping", id="again"))["id"] == "again"


async def test_lost_connections_are_survived(serve, client, names):
    serve()
    await client.ask(command="ping")
    for number in range(3):
        connections = [c for c in await client.redis.client_list() if c["name"] == names.prefix]
        assert connections
        for connection in connections:
            await client.redis.client_kill_filter(_id=connection["id"])
        assert (await client.ask(command="ping", id=f"after-{number}"))["id"] == f"after-{number}"


@pytest.mark.parametrize(
    ("access", "command", "expected"),
    [
        ("read", "ping", "done"),
        ("trade", "ping", "done"),
        ("operate", "paper.buy", "done"),
        ("trade", "paper.buy", "done"),
        ("read", "paper.buy", "belongs on {prefix}:commands:trade"),
        ("read", "log.level", "belongs on {prefix}:commands"),
        ("trade", "log.level", "belongs on {prefix}:commands"),
        ("read", "pingg", "did you mean ping?"),
    ],
)
async def test_a_stream_obeys_what_its_senders_may(serve, client, names, access, command, expected):
    serve()
    reply = await client.ask(access=access, command=command)
    if expected == "done":
        assert reply["status"] == "done"
    else:
        assert reply["status"] == "rejected"
        assert reply["error"]["message"].endswith(expected.format(prefix=names.prefix))


async def test_an_id_taken_by_a_reader_is_free_for_an_operator(serve, client, counting):
    serve()
    await client.ask(access="read", command="ping", id="mine")
    assert (await client.ask(command="add", args='{"number": 5}', id="mine"))["result"]["total"] == 5


async def test_nobody_waits_behind_those_who_may_do_less(serve, client, counting):
    counting.gate.clear()
    serve()
    await client.send(access="trade", command="paper.hold", args='{"number": 1}')
    await asyncio.wait_for(counting.begun.wait(), 60)
    assert (await client.ask(command="ping"))["status"] == "done"
    counting.gate.set()
    assert (await client.replies())[0]["status"] == "done"


async def test_a_client_that_sends_too_much_is_told_to_wait_and_the_others_are_served(serve, client, monkeypatch):
    monkeypatch.setattr(rate, "BURST", 3)
    monkeypatch.setattr(rate, "PER_SECOND", 0.01)
    serve()
    for _ in range(5):
        await client.send(command="ping", client="noisy")
    replies = await client.replies(5)
    assert [reply["status"] for reply in replies] == ["done"] * 3 + ["rejected"] * 2
    assert replies[-1]["error"]["code"] == "rate_limited"
    assert 90 < replies[-1]["error"]["retry_after"] <= 100
    assert (await client.ask(command="ping", client="calm"))["status"] == "done"
    assert (await client.ask(command="ping", client="noisy", args="x" * 5_000_000))["error"]["code"] == "rate_limited"
    await client.ask(command="ping", client="calm")
    entries = await client.redis.xrange(client.names.commands)
    assert sum(len(value) for _, fields in entries for value in fields.values()) < 500
