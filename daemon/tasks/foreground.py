"""A task for somebody who waits for it: run by the daemon where one serves tasks, else by this process."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Final

import asyncpg
from pydantic import JsonValue
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bus.clock import SystemClock
from bus.errors import StoreUnavailable
from bus.redis import RedisBus
from daemon.config import Config
from daemon.history.download import Downloader
from daemon.history.sources import Sources, configured
from daemon.servers import serve
from daemon.storage.kinds import Storekeeping
from daemon.storage.retention import policy_of
from daemon.tasks.kinds import kinds
from daemon.tasks.ledger import TaskLedger, TaskRecord
from daemon.tasks.runner import TaskRunner
from daemon.tasks.telling import on_bus
from migrations.runner import migrate

LOOK: Final = 0.2
CANCELLING: Final = 2.0
"""Seconds within which a task that was interrupted must have ended."""


async def run_here(config: Config, kind: str, args: Mapping[str, JsonValue]) -> TaskRecord:
    """Do a task and return how it ended, showing a bar on standard error; an interrupt cancels it.

    What the same arguments have begun and not finished goes on. Raises UsageError, StoreUnavailable, BusUnavailable.
    """
    clock, random = SystemClock(), Random()
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(serve(config))
        await migrate(urls.dsn)
        bus = await RedisBus.open(urls.redis, prefix=config.bus.prefix, clock=clock, random=random)
        stack.push_async_callback(bus.close)
        pool = await stack.enter_async_context(asyncpg.create_pool(urls.dsn, min_size=0, max_size=2, timeout=10))
        sources = Sources({}, partial(configured, config), bus.state, clock, random)
        storekeeping = Storekeeping(urls.dsn, config.data_dir, lambda: policy_of(config.retention), clock)
        known = kinds(Downloader(urls.dsn, sources, clock), storekeeping)
        known.find(kind).parse(args)
        ledger = TaskLedger(pool)
        identity = (await ledger.submit(kind, args)).id
        runner = TaskRunner(known, ledger, urls.dsn, on_bus(bus.publish, clock), clock, random, only=identity)
        running = asyncio.create_task(runner.run())
        try:
            return await _follow(ledger, identity, running, clock)
        except asyncio.CancelledError:
            await _cancel(ledger, identity, clock)
            raise
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _follow(ledger: TaskLedger, identity: str, running: "asyncio.Task[None]", clock: SystemClock) -> TaskRecord:
    """Show how far a task is until it is finished."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None, rate="")
        while True:
            if running.done():
                running.result()
                raise StoreUnavailable("the task's runner has ended")
            record = await ledger.get(identity)
            rate = f"{record.rate:.1f}/s" if record.rate else record.error
            progress.update(bar, description=record.kind, completed=record.done, total=record.total, rate=rate)
            if record.finished:
                return record
            await clock.sleep(LOOK)


async def _cancel(ledger: TaskLedger, identity: str, clock: SystemClock) -> None:
    """End a task and wait until it has ended."""
    await ledger.cancel(identity)
    deadline = clock.monotonic() + CANCELLING
    while not (await ledger.get(identity)).finished and clock.monotonic() < deadline:
        await clock.sleep(LOOK)
