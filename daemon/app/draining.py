"""In which order the daemon ends, so that nothing under way is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from daemon.app.wired import Wired
from daemon.supervisor import DrainStep

CHANGING: Final = frozenset({"control", "configuration", "reload", "tasks", "retention"})
"""What could start something anew while everything ends."""


def drain_steps(wired: Wired) -> list[DrainStep]:
    """Collectors end first, then what they brought reaches the streams, then the handlers digest it."""
    supervisor = wired.supervisor
    first = tuple(f"{what}:" for what in ("fallback", "select", "collect", "heal"))
    collecting = [name for name in supervisor.status() if name.startswith(first) or name in CHANGING]

    async def hand_over() -> None:
        if any([await leadership.wanted() for leadership in wired.leaderships]):
            await end_lease()

    async def catch_up() -> None:
        acting = [subscription for subscription in wired.subscriptions if subscription.acts]
        await asyncio.gather(*(subscription.catch_up() for subscription in acting))

    async def end_lease() -> None:
        await supervisor.stop("lease")
        for leadership in wired.leaderships:
            await leadership.release()

    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("lease", hand_over),
        ("collectors", partial(supervisor.stop, *collecting)),
        ("bus", partial(wired.bus.flush, wired.config.shutdown.deadline)),
        ("handlers", catch_up),
        ("what handlers said", partial(wired.bus.flush, wired.config.shutdown.deadline)),
        ("lease held", end_lease),
    ]
    return [DrainStep(name, step) for name, step in steps]


async def settle(wired: Wired) -> None:
    """Wait until what was collected is on the streams, digested, and what handlers made of it is on them too."""
    await wired.bus.flush(wired.config.shutdown.deadline)
    await asyncio.gather(*(subscription.catch_up() for subscription in wired.subscriptions))
    await wired.bus.flush(wired.config.shutdown.deadline)
