"""`marketd ctl` and `marketd tail` as processes, against a program that answers on the real streams."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from random import Random

import pytest
from redis.asyncio import Redis

from bus.clock import MILLISECOND, SystemClock
from bus.commands import Reply
from bus.events import Task, Trade
from bus.redis import RedisBus


class Far:
    """A daemon far away: it answers every command with what it was told to, and publishes events."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix
        self.replies: list[tuple] = []
        self.events: list = []

    async def serve(self) -> None:
        bus = await RedisBus.open(self.url, prefix=self.prefix, random=Random(1))
        redis, cursor = Redis.from_url(self.url, decode_responses=True), "0"
        try:
            while True:
                for _, entries in await redis.xread({f"{self.prefix}:commands": cursor}, block=200) or ():
                    for cursor, asked in entries:  # noqa: B007 # the cursor moves on
                        for status, result in self.replies:
                            reply = Reply(asked["id"], asked["client"], asked["command"], status, result)
                            await redis.xadd(f"{self.prefix}:replies", reply.fields())
                        for event in self.events:
                            await bus.publish([event])
        finally:
            await redis.aclose()
            await bus.close()

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MARKETD_")}
        settings = {
            "MARKETD_BUS__URL": self.url, "MARKETD_BUS__PREFIX": self.prefix,
            "MARKETD_STORE__DSN": "postgresql://nobody@localhost/nothing",
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }  # fmt: skip
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", *arguments, env=kept | settings, stdout=-1, stderr=-1
        )

    async def marketd(self, *arguments: str) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            out, errors = await process.communicate()
        return process.returncode, out.decode(), errors.decode()


@pytest.fixture
async def far(valkey_url, bus_prefix):
    far = Far(valkey_url, bus_prefix)
    task = asyncio.create_task(far.serve())
    yield far
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def task(state: str, done: int, identity: str = "t1") -> Task:
    return Task(SystemClock().now(), identity, "backfill", state, done, 10)


@pytest.mark.parametrize(("end", "status"), [("done", 0), ("failed", 1), ("cancelled", 1)])
async def test_a_started_task_is_followed_to_its_end(far, end, status):
    far.replies = [("done", {"id": "t1", "kind": "backfill", "state": "queued", "done": 0, "total": None})]
    far.events = [task("running", 1), task("done", 9, "another's"), task("running", 5), task(end, 10)]
    code, out, errors = await far.marketd("ctl", "backfill.start", "exchange=binance")
    assert (code, errors) == (status, "")
    assert out.endswith(f"task t1: {end}\n")


async def test_with_json_the_reply_is_everything(far):
    result = {"id": "t1", "kind": "backfill", "state": "queued"}
    far.replies = [("accepted", None), ("progress", {"done": 1, "total": 2}), ("done", result)]
    code, out, _ = await far.marketd("ctl", "backfill.start", "--json")
    assert code == 0
    replies = [json.loads(line) for line in out.splitlines()]
    assert [reply["status"] for reply in replies] == ["accepted", "progress", "done"]
    assert json.loads(replies[-1]["result"]) == result


async def test_a_reply_that_nobody_gives_is_one_line(far):
    code, out, errors = await far.marketd("ctl", "ping", "--timeout", "0.5")
    assert (code, out) == (1, "")
    assert errors.startswith("marketd: nobody answered 'ping' within 0.5 s")
    assert len(errors.splitlines()) == 1


async def test_what_nobody_has_answered_is_not_done_later(far):
    far.replies = []
    before = SystemClock().now() // MILLISECOND
    code, _, errors = await far.marketd("ctl", "buy", "quantity=1", "--timeout", "0.5")
    assert (code, errors.rpartition("?")[2]) == (1, " Once it has expired it is not done any more.\n")
    await far.marketd("ctl", "status", "--timeout", "0.5")
    async with Redis.from_url(far.url, decode_responses=True) as redis:
        (_, buy), (_, status) = await redis.xrange(f"{far.prefix}:commands")
    assert before + 500 <= int(buy["expires"]) <= SystemClock().now() // MILLISECOND + 500
    assert "expires" not in status  # what changes nothing may come late


async def test_tail_prints_what_comes(far):
    now = SystemClock().now()
    far.events = [Trade("binance", symbol, now, now, "ws", "1", "5", "1", "buy") for symbol in ("A/B", "C/D")]
    tail = asyncio.create_task(far.marketd("tail", "--json", "--symbol", "C/D", "--count", "1"))
    async with Redis.from_url(far.url) as redis, asyncio.timeout(60):
        while not tail.done():
            await redis.xadd(f"{far.prefix}:commands", {"command": "again", "id": "1", "client": "x"})
            await asyncio.wait({tail}, timeout=0.2)
    code, out, errors = tail.result()
    assert (code, errors) == (0, "")
    assert json.loads(out)["symbol"] == "C/D"


async def test_tail_says_that_an_exchange_is_not_there_and_waits(far):
    now = SystemClock().now()
    far.events = [Trade("binance", "A/B", now, now, "ws", "1", "5", "1", "buy")]
    tail = await far.start("tail", "--json", "--exchange", "binance", "--count", "1")
    async with Redis.from_url(far.url) as redis, asyncio.timeout(60):
        said = await tail.stderr.readline()
        ended = asyncio.create_task(tail.communicate())
        while not ended.done():
            await redis.xadd(f"{far.prefix}:commands", {"command": "again", "id": "1", "client": "x"})
            await asyncio.wait({ended}, timeout=0.2)
    out, errors = ended.result()
    assert (tail.returncode, json.loads(out)["exchange"], errors) == (0, "binance", b"")
    assert said == b"nothing of 'binance' is on the bus; waiting (there are: none yet)\n"
