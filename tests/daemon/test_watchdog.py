"""The watchdog, with a loop that really is blocked."""

import asyncio
import contextlib
import socket
import time

import pytest
import structlog

from bus.metrics import LOOP_LAG
from daemon.systemd import Notifier
from daemon.watchdog import Watchdog


@contextlib.asynccontextmanager
async def watching(watchdog):
    task = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def lines():
    """Every line logged by any thread (structlog's own capture serves one configuration, whatever the thread)."""
    with structlog.testing.capture_logs() as captured:
        yield captured


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # what is waited for has no event
            await asyncio.sleep(0.005)


def the_culprit(seconds):
    time.sleep(seconds)


async def test_a_blocked_loop_is_reported_with_stacks_while_it_blocks_and_once(lines):
    async with watching(Watchdog(Notifier({}), blocked=0.1)):
        begun = len(lines)
        the_culprit(0.6)
        blocked = [line for line in lines[begun:] if line["event"] == "the event loop is blocked"]
        assert len(blocked) == 1
        assert "the_culprit(0.6)" in blocked[0]["stacks"]
        assert blocked[0]["stacks"].startswith("thread MainThread:")
        await until(lambda: lines[-1]["event"] == "the event loop runs again")
        assert lines[-1]["blocked_for"] >= 0.5
        assert LOOP_LAG._value.get() >= 0


async def test_a_loop_that_runs_is_left_in_peace(lines):
    async with watching(Watchdog(Notifier({}), blocked=0.5)):
        deadline = time.monotonic() + 0.7
        await until(lambda: time.monotonic() > deadline)
    assert not lines


async def test_systemd_is_pinged_only_while_the_loop_runs(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)

        def pings():
            count = 0
            with contextlib.suppress(BlockingIOError):
                while manager.recv(100) == b"WATCHDOG=1":
                    count += 1
            return count

        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000"})
        async with watching(Watchdog(notifier)):
            seen = 0

            def three():
                nonlocal seen
                seen += pings()
                return seen >= 3

            await until(three)
            pings()
            the_culprit(0.3)
            assert pings() == 0
            await until(lambda: pings() > 0)
