"""Starts the command server, and lists the commands that it knows."""

from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from math import inf

from bus.client import Client
from daemon.app.draining import settle
from daemon.app.tasks import start_tasks
from daemon.app.wired import Wired
from daemon.config.running import RunningConfig
from daemon.control.audit import AuditLog
from daemon.control.basic import log_level, ping, status
from daemon.control.breakers import commands as breaker_commands
from daemon.control.collectors import commands as collector_commands
from daemon.control.command import AnyCommand, Commands
from daemon.control.config import commands as config_commands
from daemon.control.dead import commands as dead_commands
from daemon.control.ending import commands as ending_commands
from daemon.control.gaps import commands as gap_commands
from daemon.control.paper import commands as paper_commands
from daemon.control.prices import prices_latest
from daemon.control.server import ControlServer
from daemon.control.stats import stats
from daemon.prices import LatestPrices, PriceFeed
from daemon.trading.account import Account
from daemon.trading.keys import read_keys
from daemon.trading.live import LiveService


def commands(
    wired: Wired, running: RunningConfig, prices: LatestPrices, tasks: Iterable[AnyCommand]
) -> list[AnyCommand]:
    """Return every command that this process understands; `tasks` are those about background tasks."""
    return [
        ping(wired.clock),
        status(version("marketd"), wired.supervisor.status, wired.checks),
        log_level(),
        *collector_commands(wired.collectors, wired.supervisor, running),
        *config_commands(running),
        *breaker_commands(wired.collectors),
        *gap_commands(wired.pool, wired.bus.publish, wired.clock),
        *dead_commands(wired.pool, wired.bus),
        *paper_commands(wired.bus, wired.pool, wired.clock, _live(wired)),
        *ending_commands(wired.collectors, wired.supervisor, partial(settle, wired), wired.end),
        stats(wired.clock),
        prices_latest(prices, wired.collectors, wired.clock),
        *tasks,
    ]


def _live(wired: Wired) -> dict[str, LiveService]:
    """Start what trades for real in the portfolios that are configured for it. Raises ConfigError."""
    found = {}
    for settings in wired.config.live:
        account = Account(settings.exchange, read_keys(settings.credentials), settings.endpoint)
        service = found[settings.portfolio] = LiveService(settings, account, wired.bus.state, wired.clock)
        wired.supervisor.start(f"live:{settings.portfolio}", service.run)
    return found


def start_prices(wired: Wired) -> LatestPrices:
    """Start what keeps the latest prices, also while another process has the turn: so they are there at once."""
    prices = LatestPrices()
    names, clock, rng = wired.bus.names, wired.clock, wired.random
    connect = partial(Client, wired.urls.redis, prefix=names.prefix, patience=inf, clock=clock, random=rng)
    feed = PriceFeed(prices, connect, wired.pool, clock)
    wired.supervisor.start("prices", feed.follow)
    wired.supervisor.start("prices stored", feed.look)
    return prices


def start_control(wired: Wired, running: RunningConfig) -> None:
    """Start the command server and background tasks; both work while it is this process's turn."""
    audit = AuditLog(wired.pool, wired.clock, wired.random)
    wired.supervisor.start("audit", audit.run)
    control = ControlServer(
        wired.bus.client,
        wired.bus.names,
        Commands(commands(wired, running, start_prices(wired), start_tasks(wired, audit))),
        audit.record,
        clock=wired.clock,
        rng=wired.random,
    )
    (leadership,) = wired.leaderships
    wired.supervisor.start("control", partial(leadership.while_held, control.run))
