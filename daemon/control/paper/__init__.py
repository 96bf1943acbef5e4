"""Commands of paper trading: those that change something are passed on to the process that runs it."""

from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from bus.clock import Clock
from bus.redis import RedisBus
from daemon.control.command import AnyCommand
from daemon.control.paper.orders import order_commands
from daemon.control.paper.portfolios import portfolio_commands
from daemon.control.paper.queries import query_commands
from daemon.paper.records import Records
from daemon.trading import LiveTrading, Services
from daemon.trading.paper import PaperService
from daemon.trading.paper_line import PaperLine


def commands(
    bus: RedisBus, pool: "asyncpg.Pool[Any]", clock: Clock, live: Mapping[str, LiveTrading]
) -> Iterable[AnyCommand]:
    """Return all commands of paper trading; each is also known without its `paper.`. `live` trades for real."""
    line = PaperLine(bus, clock)
    records = Records(pool)
    services = Services(PaperService(line, records), live)
    return *portfolio_commands(line, services), *order_commands(line, services), *query_commands(records, services)
