"""Who of several processes acts: each keeps asking for a lease, and the one that has it works."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import BusUnavailable
from bus.interface import Lease

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two renewals; a lease outlives two that failed."""


class Leadership:
    """One process's claim over time. While the bus is away it is kept, but not sure: it may be away only from here."""

    def __init__(self, what: str, lease: Lease, clock: Clock) -> None:
        self._what = what
        self.lease = lease
        self._clock = clock
        self._asked = False
        self._gained = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()
        self._renewed_at = -inf
        self._answered = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether this process acts."""
        return self._gained.is_set()

    @property
    def sure(self) -> bool:
        """Whether nobody else can act: false where this process stood still or was cut off so long that another may."""
        return self.held and self._clock.monotonic() < self._renewed_at + self.lease.lifetime

    async def confirmed(self) -> None:
        """Wait until nobody else can act."""
        while not self.sure:
            self._answered.clear()
            await self._answered.wait()

    @property
    def taken(self) -> bool:
        """Whether another process acts, or is about to."""
        return self._asked and self._lost.is_set()

    async def gained(self) -> None:
        """Wait until this process acts."""
        await self._gained.wait()

    async def lost(self) -> None:
        """Wait until another process acts."""
        await self._lost.wait()

    async def run(self) -> None:
        """Keep asking until cancelled."""
        while True:
            await self.renew()
            await self._clock.sleep(INTERVAL)

    async def renew(self) -> None:
        """Ask once."""
        asked_at = self._clock.monotonic()
        try:
            held = await self.lease.renew()
        except BusUnavailable:
            return
        self._renewed_at = asked_at
        self._answered.set()
        if held == self.held and self._asked:
            return
        self._asked = True
        log.info("this process takes over" if held else "another process acts, standing by", what=self._what)
        if held:
            self._lost.clear()
            self._gained.set()
        else:
            self._gained.clear()
            self._lost.set()

    async def wanted(self) -> bool:
        """Say whether another process waits to take over, as far as that can be known."""
        try:
            return await self.lease.wanted()
        except BusUnavailable:
            return False

    async def release(self) -> None:
        """Give the lease up: whoever waits for it takes over at once."""
        self._gained.clear()
        self._lost.set()
        with contextlib.suppress(BusUnavailable):
            await self.lease.release()

    async def while_held(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work whenever this process acts, until cancelled; an error of the work ends it."""
        while True:
            await self.gained()
            await _either(work, self.lost)

    async def work(self, work: Callable[[], Awaitable[None]]) -> None:
        """Ask for the lease and work whenever it is held, until cancelled; then give it up."""
        renewing = asyncio.create_task(self.run())
        try:
            await self.while_held(work)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self.release()


async def _either(work: Callable[[], Awaitable[None]], ending: Callable[[], Awaitable[None]]) -> None:
    """Work until it ends, or until `ending` does."""
    tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(ending())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
