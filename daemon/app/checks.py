"""What /ready asks: whether the bus and the database can be reached, and take what they are given."""

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg

from bus import metrics
from bus.clock import Clock
from bus.errors import BusUnavailable, ConfigError, said
from bus.redis import RedisBus
from daemon.supervisor import Supervisor

CHECK_INTERVAL: Final = 2.0
"""Seconds between two looks at a server."""


def bus_check(supervisor: Supervisor, clock: Clock, bus: RedisBus) -> Callable[[], tuple[bool, str]]:
    """Look at Redis regularly: what was right at the start can be changed by hand, and its memory can fill up."""
    trouble = ""

    async def look() -> None:
        nonlocal trouble
        while True:
            try:
                await bus.inspect()
                trouble = ""
            except (BusUnavailable, ConfigError) as error:
                trouble = str(error)
            await clock.sleep(CHECK_INTERVAL)

    def answer() -> tuple[bool, str]:
        if bus.connected and not trouble:
            return True, "reachable"
        return False, trouble or f"the last write to Redis failed, events wait: {bus.trouble}"

    supervisor.start("bus check", look)
    return answer


def store_check(
    supervisor: Supervisor, clock: Clock, pool: "asyncpg.Pool[asyncpg.Record]"
) -> Callable[[], tuple[bool, str]]:
    """Ask the database regularly, so that /ready can answer at once."""
    state = {"ok": True, "detail": "reachable"}

    async def look() -> None:
        while True:
            try:
                async with asyncio.timeout(5):
                    await pool.fetchval("select 1")
                state.update(ok=True, detail="reachable")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                state.update(ok=False, detail=f"the database cannot be reached: {said(error)}")
            metrics.STORE_CONNECTED.set(bool(state["ok"]))
            await clock.sleep(CHECK_INTERVAL)

    supervisor.start("store check", look)
    return lambda: (bool(state["ok"]), str(state["detail"]))
