"""Puts what an exchange states of its symbols (tick, lot, least notional) into the table `instruments`."""

from typing import Any, Final

import asyncpg
import structlog

from bus.clock import Clock
from bus.errors import said
from daemon.collectors.interface import Collector
from handlers.persistence import store_instruments

log = structlog.get_logger(__name__)

FIRST_LOOK: Final = 0.02
"""Seconds between two looks for the first list: paper trading misses a book's beginning that comes before it."""
LOOK: Final = 1.0
"""Seconds between two looks for a list that was loaded anew, or a database that is away."""


async def keep_instruments(collector: Collector, pool: "asyncpg.Pool[Any]", clock: Clock) -> None:
    """Store an exchange's symbols each time they were loaded."""
    stored = 0
    while True:
        loads = collector.listing.loads
        if loads != stored:
            try:
                changed = await store_instruments(pool, collector.listing.instruments.values())
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("instruments not stored yet", exchange=collector.name, error=said(error))
            else:
                log.info("instruments stored", exchange=collector.name, changed=changed)
                stored = loads
        await clock.sleep(LOOK if loads else FIRST_LOOK)
