"""Applies retention again and again while the daemon runs."""

from collections.abc import Callable
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import StoreUnavailable
from daemon.storage.retention import Policy, retain

log = structlog.get_logger(__name__)

PAUSE: Final = 3_600.0
"""Seconds between two looks: what is kept is counted in days."""


async def keep(dsn: str, policy: Callable[[], Policy], clock: Clock) -> None:
    """Remove what is due, every hour, by the policy of that hour. A database that is away is waited for."""
    while True:
        try:
            for removal in await retain(dsn, policy(), clock, lambda _, __: None):
                if removal.removed or removal.kept:
                    log.info("retention", table=removal.table, removed=removal.removed, kept=removal.kept,
                             reason=removal.reason)  # fmt: skip
        except StoreUnavailable as error:
            log.warning("retention waits", reason=str(error))
        await clock.sleep(PAUSE)
