"""Sending commands from Python, to a program that answers on the real streams."""

import asyncio
import json
import signal
from random import Random

import pytest
from redis.asyncio import Redis

from bus.client import Client
from bus.commands import Problem, Reply
from bus.errors import BusUnavailable, CommandFailed, CommandRejected, NoReply


class Daemon:
    """Answers each command on a stream with what it is told to; `asked` keeps what came."""

    def __init__(self, url: str, prefix: str, stream: str = "commands") -> None:
        self._redis = Redis.from_url(url, decode_responses=True)
        self._prefix = prefix
        self._stream = f"{prefix}:{stream}"
        self.asked: list[dict[str, str]] = []

    async def answer(self, *answers: tuple) -> None:
        """Wait for the next command and give these answers: status, result, problem."""
        async with asyncio.timeout(60):
            while len(entries := await self._redis.xrange(self._stream)) <= len(self.asked):
                await asyncio.sleep(0.005)
        fields = entries[len(self.asked)][1]
        self.asked.append(fields)
        for status, result, problem in answers:
            reply = Reply(fields["id"], fields["client"], fields["command"], status, result, problem)
            await self._redis.xadd(f"{self._prefix}:replies", {"id": "another's", "status": "done", "command": "x"})
            await self._redis.xadd(f"{self._prefix}:replies", reply.fields())

    async def close(self) -> None:
        await self._redis.aclose()


@pytest.fixture
async def daemon(valkey_url, bus_prefix):
    daemon = Daemon(valkey_url, bus_prefix)
    yield daemon
    await daemon.close()


async def both(answering, asking):
    answer = asyncio.create_task(answering)
    try:
        return await asking
    finally:
        await answer


async def test_a_result_comes_back_and_progress_on_the_way(client, daemon):
    told = []
    answers = [("accepted", None, None), ("progress", {"done": 1, "total": 2}, None), ("done", {"rows": 5}, None)]
    result = await both(
        daemon.answer(*answers),
        client.command("backfill.start", {"symbol": "BTC/USDT"}, on_progress=told.append, expires=5, expect_version=7),
    )
    assert result == {"rows": 5}
    assert [(reply.status, reply.result) for reply in told] == [(a, b) for a, b, _ in answers[:2]]
    (asked,) = daemon.asked
    assert json.loads(asked["args"]) == {"symbol": "BTC/USDT"}
    assert (asked["client"], asked["expires"], asked["expect_version"]) == ("test", "5", "7")


@pytest.mark.parametrize(
    ("status", "problem", "expected"),
    [
        ("rejected", Problem("rate_limited", "too many", 1.5), CommandRejected),
        ("failed", Problem("timeout", "too slow"), CommandFailed),
    ],
)
async def test_an_error_is_raised_with_its_code(client, daemon, status, problem, expected):
    with pytest.raises(expected, match=problem.message) as raised:
        await both(daemon.answer((status, None, problem)), client.command("ping"))
    assert (raised.value.code, raised.value.retry_after) == (problem.code, problem.retry_after)


async def test_nobody_answers(client):
    with pytest.raises(NoReply, match=r"nobody answered 'ping' within 0\.3 s"):
        await client.command("ping", timeout=0.3)


async def test_nothing_more_is_heard_of_what_was_accepted(client, daemon):
    with pytest.raises(NoReply, match="was accepted, and nothing more was heard of it"):
        await both(daemon.answer(("accepted", None, None)), client.command("backfill.start", timeout=0.3, expires=5))


async def test_a_command_is_sent_on_the_stream_of_what_the_sender_may(valkey_url, bus_prefix):
    daemon = Daemon(valkey_url, bus_prefix, "commands:read")
    async with Client(valkey_url, prefix=bus_prefix, access="read") as client:
        assert await both(daemon.answer(("done", None, None)), client.command("ping", id="mine")) is None
    assert daemon.asked[0]["id"] == "mine"
    await daemon.close()


async def test_a_broken_connection_while_waiting_is_survived(client, daemon, valkey_url):
    async with Redis.from_url(valkey_url) as redis:

        async def answer():
            await daemon.answer(("accepted", None, None))
            await redis.client_kill_filter(_type="normal", skipme=True)
            await Redis.xadd(
                redis, f"{daemon._prefix}:replies",
                Reply(daemon.asked[0]["id"], "test", "ping", "done", {"pong": 1}).fields(),
            )  # fmt: skip

        assert await both(answer(), client.command("ping")) == {"pong": 1}


async def test_a_redis_that_stands_still_or_refuses_is_given_up_after_the_timeout(server):
    async with Client(server.url, patience=600, random=Random(1)) as client:
        server.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(9):  # below the time that any other command to Redis may take
            with pytest.raises(BusUnavailable):
                await client.command("ping", timeout=0.3)
        server.process.send_signal(signal.SIGCONT)
        async with Redis.from_url(server.url) as redis:
            await redis.config_set("maxmemory", 1)
        async with asyncio.timeout(30):
            with pytest.raises(BusUnavailable, match="maxmemory"):
                await client.command("ping", timeout=0.3)
