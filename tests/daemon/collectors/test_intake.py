"""What must not leave the process, and the patience of tasks that keep crashing."""

import asyncio
import itertools
from random import Random

import pytest

from bus.clock import ManualClock
from daemon.collectors.intake import public_url
from daemon.collectors.tasks import keep_running


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("wss://user:pass@host:9443/stream?listenKey=abc#x", "wss://host:9443/stream"),
        ("https://api.example.com/api/v3/depth?symbol=A&signature=s", "https://api.example.com/api/v3/depth"),
        ("ws://[::1]:80/ws", "ws://[::1]:80/ws"),
    ],
)
def test_a_public_url_has_no_user_no_password_and_no_query(url, public):
    assert public_url(url) == public


async def test_what_keeps_crashing_is_started_again_after_pauses_and_ends_when_cancelled():
    clock, runs = ManualClock(), []

    async def crash():
        runs.append(clock.monotonic())
        await asyncio.sleep(0)
        raise RuntimeError("again")

    task = asyncio.create_task(keep_running("test", crash, clock, Random(1)))
    for _ in range(200):
        clock.advance(0.5)
        for _ in range(4):
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert 5 <= len(runs) <= 40
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(runs))
