"""Owning background tasks: ending them for good, and starting a crashed one again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

import structlog

from bus import metrics
from bus.clock import Clock
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)


async def cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and wait until they have ended."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def first_of(*things: "asyncio.Task[Any] | asyncio.Event") -> None:
    """Wait until one of these tasks has ended or one of these events is set. The tasks go on."""
    waiters = [asyncio.create_task(thing.wait()) for thing in things if isinstance(thing, asyncio.Event)]
    tasks = [thing for thing in things if not isinstance(thing, asyncio.Event)]
    try:
        await asyncio.wait([*tasks, *waiters], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(waiters)


async def keep_running(name: str, run: Callable[[], Awaitable[None]], clock: Clock, random: Random) -> None:
    """Run something that should never end, and start it again with back-off when it crashes."""
    backoff = Backoff(random, first=1.0, longest=60.0, least=0.1)
    while True:
        began = clock.monotonic()
        try:
            await run()
            log.error("a background task ended that should not", task=name)
        except Exception:
            log.exception("a background task crashed", task=name)
        metrics.TASK_RESTARTS.labels(name).inc()
        if clock.monotonic() - began > backoff.longest:
            backoff.reset()
        await clock.sleep(backoff.next())
