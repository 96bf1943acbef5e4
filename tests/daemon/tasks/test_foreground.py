"""Following a task ends when it is interrupted, also where the database's client has swallowed the interruption."""

import asyncio

import pytest

from bus.clock import SystemClock
from daemon.tasks.foreground import _follow
from daemon.tasks.ledger import TaskRecord

RUNNING = TaskRecord("t", "download", "running", 1, 10, {}, None, None, None, "", False, None, 1, 1)


class Swallowing:
    """A ledger whose answer comes at the same moment as the interruption, which is lost."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def get(self, identity: str) -> TaskRecord:
        self.asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return RUNNING
        raise AssertionError("nobody has interrupted it")


async def test_an_interruption_that_was_swallowed_still_ends_it():
    ledger, running = Swallowing(), asyncio.create_task(asyncio.sleep(60))
    following = asyncio.create_task(_follow(ledger, "t", running, SystemClock()))
    await ledger.asked.wait()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(following, 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
