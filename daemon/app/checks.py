"""What /ready asks: whether the bus and the database can be reached."""

import asyncio
from collections.abc import Callable

import asyncpg

from bus import metrics
from bus.clock import Clock
from bus.redis import RedisBus
from daemon.supervisor import Supervisor

STORE_CHECK_INTERVAL = 2.0


def bus_check(bus: RedisBus) -> Callable[[], tuple[bool, str]]:
    """Return whether the bus is connected."""
    return lambda: (bus.connected, "reachable" if bus.connected else "Redis cannot be reached, events wait in memory")


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
                state.update(ok=False, detail=f"the database cannot be reached: {error or type(error).__name__}")
            metrics.STORE_CONNECTED.set(bool(state["ok"]))
            await clock.sleep(STORE_CHECK_INTERVAL)

    supervisor.start("store check", look)
    return lambda: (bool(state["ok"]), str(state["detail"]))
