"""The audit log against a real PostgreSQL, including one that is away for a while."""

import asyncio
import contextlib
import json
import random

import asyncpg
import pytest

from bus.clock import SystemClock
from daemon.control import AuditLog, Record
from daemon.control.audit import Ended

# As the migrations create it, and a constraint to break.
TABLE = """
create table command_log (
  id text not null, ts timestamptz not null, client text not null, command text not null, args jsonb not null,
  status text not null check (status <> 'impossible'), result jsonb, error jsonb, finished_at timestamptz,
  primary key (id, ts)
)
"""
FIRST = Record(
    "a", 1_700_000_000_000_000_000, "joe", "ping", {"x": [1]}, "done", '{"pong": 1}', None, 1_700_000_001_000_000_000
)


class Hasty(SystemClock):
    """Waits a hundredth of what is asked."""

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / 100)


@pytest.fixture
async def pool(database):
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def audit(pool):
    audit = AuditLog(pool, Hasty(), random.Random(1))
    task = asyncio.create_task(audit.run())
    yield audit
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def rows(pool, count):
    async with asyncio.timeout(60):
        while True:
            found = await pool.fetch("select * from command_log order by ts, id")
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


async def test_a_command_is_written_once(pool, audit):
    await pool.execute(TABLE)
    audit.record(FIRST)
    audit.record(FIRST)
    audit.record(
        FIRST._replace(id="b", client="", status="failed", result=None, error='{"code": "failed", "message": "why"}')
    )
    first, second = await rows(pool, 2)
    assert (first["id"], first["client"]) == ("a", "joe")
    assert (json.loads(first["args"]), json.loads(first["result"])) == ({"x": [1]}, {"pong": 1})
    assert (first["finished_at"] - first["ts"]).total_seconds() == 1
    assert (second["client"], second["result"]) == ("", None)
    assert json.loads(second["error"]) == {"code": "failed", "message": "why"}


async def test_records_wait_for_a_database_that_is_not_ready(pool, audit):
    audit.record(FIRST)
    await asyncio.sleep(0)
    await pool.execute(TABLE)
    assert len(await rows(pool, 1)) == 1


async def test_what_the_database_cannot_hold_does_not_hold_up_the_rest(pool, audit):
    await pool.execute(TABLE)
    audit.record(FIRST._replace(id="nul\0"))
    audit.record(FIRST._replace(status="impossible"))
    audit.record(FIRST._replace(id="args", args={"x": "\0"}))
    args, nul = await rows(pool, 2)
    assert nul["id"] == "nul\ufffd"
    assert (args["id"], json.loads(args["args"])) == ("args", {"x": "\ufffd"})


async def test_a_large_result_is_left_out(pool, audit):
    await pool.execute(TABLE)
    audit.record(FIRST._replace(result=json.dumps(["x" * 5_000])))
    (row,) = await rows(pool, 1)
    assert json.loads(row["result"]) == {"omitted_characters": 5_004}


async def test_more_than_it_can_hold_goes_to_the_log(pool):
    audit = AuditLog(pool, Hasty(), random.Random(1))
    for number in range(1_001):
        audit.record(FIRST._replace(id=str(number)))
    assert audit._queue.qsize() == 1_000


async def test_what_was_accepted_is_told_to_its_end_and_nothing_else_is_touched(pool, audit):
    await pool.execute(TABLE)
    end = Ended(
        "a", "joe", "ping", "failed", None, '{"code": "failed", "message": "why"}', FIRST.finished_at + 1_000_000
    )
    audit.record(FIRST)
    audit.record(FIRST._replace(ts=FIRST.ts + 1_000_000, status="accepted"))
    audit.record(FIRST._replace(ts=FIRST.ts + 2_000_000, status="accepted", client="jim"))
    audit.record(end)
    audit.record(FIRST._replace(ts=FIRST.ts + 3_000_000))
    done, ended, others, _ = await rows(pool, 4)
    assert [done["status"], ended["status"], others["status"]] == ["done", "failed", "accepted"]
    assert (ended["result"], json.loads(ended["error"])) == (None, {"code": "failed", "message": "why"})
    assert ended["finished_at"] > done["finished_at"]
