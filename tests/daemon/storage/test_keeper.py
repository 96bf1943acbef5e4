"""Retention goes on hour after hour, through an absent database."""

import asyncio
from datetime import timedelta

import asyncpg

from bus.clock import ManualClock
from daemon.storage.keeper import PAUSE, keep
from daemon.storage.retention import Policy
from tests.daemon.storage.rows import START, instruments, ns, trades


async def settled(clock: ManualClock) -> None:
    """Until the keeper sleeps."""
    async with asyncio.timeout(60):
        while not clock._sleepers:
            await asyncio.sleep(0.01)


async def test_what_becomes_due_goes_within_the_hour(database: str, sql: asyncpg.Connection):
    await instruments(sql)
    await trades(sql)
    clock = ManualClock(ns(START + timedelta(days=1, hours=1.5)))  # half an hour before the first day is two days old
    task = asyncio.create_task(keep(database, lambda: Policy({"trade": 1}), clock))
    await settled(clock)
    assert await sql.fetchval("select count(*) from md.trades") == 400
    clock.advance(PAUSE)
    await settled(clock)
    assert await sql.fetchval("select count(*) from md.trades") == 160
    task.cancel()


async def test_an_absent_database_does_not_end_it():
    clock = ManualClock()
    task = asyncio.create_task(keep("postgresql://nobody@127.0.0.1:1/none", lambda: Policy({"trade": 1}), clock))
    for _ in range(2):
        await settled(clock)
        assert not task.done()
        clock.advance(PAUSE)
    task.cancel()
