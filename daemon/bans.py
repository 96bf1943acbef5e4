"""Bans that an exchange has pronounced, for commands that reach exchanges without a daemon of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from bus.clock import SECOND
from bus.errors import MarketdError
from bus.handler import StateStore
from bus.local import LocalState
from bus.redis import RedisBus
from daemon.collectors.interface import Collector
from daemon.config import Config
from daemon.servers import there


@asynccontextmanager
async def kept_state(config: Config) -> AsyncIterator[StateStore]:
    """Give what the bus keeps of exchanges; nothing where none runs: to start one would be in the daemon's way."""
    redis, _ = there(config)
    bus = None
    if redis is not None:
        with suppress(MarketdError):  # out of reach: whoever needs the bus itself says so
            bus = await RedisBus.open(redis, prefix=config.bus.prefix)
    try:
        yield LocalState() if bus is None else bus.state
    finally:
        if bus is not None:
            await bus.close()


def banned(collector: Collector) -> str:
    """Return that the exchange has banned this address, and until when; "" when it has not."""
    until = collector.status()["banned_until"]
    if until is None:
        return ""
    return f"{collector.name} has banned this address until {datetime.fromtimestamp(until // SECOND, UTC):%F %T} UTC"
