"""Commands of paper trading: those that change something are passed on to the process that runs it."""

from collections.abc import Iterable
from typing import Any

import asyncpg

from bus.clock import Clock
from bus.redis import RedisBus
from daemon.control.command import AnyCommand
from daemon.control.paper.line import PaperLine
from daemon.control.paper.orders import order_commands
from daemon.control.paper.portfolios import portfolio_commands
from daemon.control.paper.queries import query_commands


def commands(bus: RedisBus, pool: "asyncpg.Pool[Any]", clock: Clock) -> Iterable[AnyCommand]:
    """Return all commands of paper trading; each is also known without its `paper.`."""
    line = PaperLine(bus, clock)
    return *portfolio_commands(line), *order_commands(line), *query_commands(pool)
