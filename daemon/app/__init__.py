"""The only place that wires the parts of the daemon together, and the order in which they start and end."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from random import Random

import aiohttp
import asyncpg
import structlog

from bus.clock import SystemClock
from bus.leadership import Leadership
from bus.redis import RedisBus
from bus.redis.janitor import Janitor
from bus.subscription import Subscription
from daemon import logs
from daemon.app.checks import bus_check, store_check
from daemon.app.collecting import CONNECTIONS_AT_ONCE, Collecting, group_of
from daemon.app.control import start_control
from daemon.app.draining import drain_steps
from daemon.app.reconfigure import Reconfiguration, reload_on_signal
from daemon.app.wired import Wired
from daemon.config import Config, Exchange
from daemon.config.running import RunningConfig
from daemon.config.versions import Versions
from daemon.demo import SimulatorProcess, with_demo
from daemon.embedded.servers import EmbeddedServers
from daemon.http import HttpServer
from daemon.redact import register_url
from daemon.roles import Roles, make_handler
from daemon.servers import Urls, configured
from daemon.signals import Signals
from daemon.storage.keeper import keep
from daemon.storage.retention import Policy, policy_of
from daemon.supervisor import Supervisor
from daemon.systemd import Notifier
from daemon.watchdog import Watchdog
from migrations.runner import migrate

log = structlog.get_logger(__name__)


async def run(config: Config, roles: Roles, read: Callable[[], Config], *, demo: bool) -> int:
    """Run the daemon until a signal ends it. Return 0 when everything was drained, 1 when that was cut short.

    `read` reads the configuration again. Raises ConfigError, BusUnavailable, StoreUnavailable when it cannot start.
    """
    logs.configure(config.log.level, config.log.format)
    for url in config.secret_urls():
        register_url(url)
    signals = Signals()
    signals.install(asyncio.get_running_loop())
    notifier = Notifier(os.environ)
    async with AsyncExitStack() as stack:
        starting = _start_up(config, roles, read, signals, notifier, stack, demo=demo)
        wired = await _unless_asked(signals.drain, starting)
        if wired is None:
            log.info("marketd ends", reason="it was told to while it was starting")
            return 0
        notifier.ready(f"running: {roles}")
        await _until_signal(signals, wired.bus)
        notifier.stopping("draining")
        complete = await wired.supervisor.drain(drain_steps(wired), wired.config.shutdown.deadline, signals.now)
        log.info("marketd ends", drained=complete)
        return 0 if complete else 1


async def _unless_asked(end: asyncio.Event, starting: Coroutine[None, None, Wired]) -> Wired | None:
    """Return what has started; None where the end is asked for before: whatever start waits for may never come."""
    work, asking = asyncio.create_task(starting), asyncio.create_task(end.wait())
    try:
        await asyncio.wait({work, asking}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        asking.cancel()
        await asyncio.gather(work, asking, return_exceptions=True)


async def _start_up(
    config: Config,
    roles: Roles,
    read: Callable[[], Config],
    signals: Signals,
    notifier: Notifier,
    stack: AsyncExitStack,
    *,
    demo: bool,
) -> Wired:
    """Start everything, in order; the stack ends it in the opposite one. Raises as `run`."""
    clock, random = SystemClock(), Random()
    supervisor = Supervisor(clock, random)
    checks: dict[str, Callable[[], tuple[bool, str]]] = {"start": lambda: (False, "still starting")}
    urls = await _servers(config, supervisor, stack)
    http = HttpServer(config.http.listen, checks)
    stack.push_async_callback(http.close)
    url = await http.start()
    await migrate(urls.dsn)
    bus = await RedisBus.open(urls.redis, prefix=config.bus.prefix, clock=clock, random=random)
    stack.push_async_callback(bus.close)
    stack.push_async_callback(_stop_all, supervisor)  # where starting fails half-way, or the bus itself does
    pool = await stack.enter_async_context(
        asyncpg.create_pool(urls.dsn, min_size=0, max_size=4, timeout=10, command_timeout=30)
    )
    adapt = await _demo(supervisor, stack) if demo and roles.collect else _as_it_is
    base = adapt(config)
    wired = Wired(base, roles, clock, random, bus, urls, pool, supervisor, checks, signals.received)
    reconfiguration = Reconfiguration(wired)
    running = RunningConfig(base, Versions(pool), reconfiguration, lambda: adapt(read()), clock, writes=roles.collect)
    await reconfiguration.apply(await running.start())
    supervisor.start("watchdog", Watchdog(notifier).run)
    _start(wired)
    if roles.collect:
        await _collect(wired, stack, reconfiguration, base.exchanges)
        start_control(wired, running)
    supervisor.start("configuration", running.follow)
    supervisor.start("reload", partial(reload_on_signal, signals.reload, running))
    del checks["start"]
    log.info("marketd runs", version=version("marketd"), roles=str(roles), http=url)
    return wired


async def _servers(config: Config, supervisor: Supervisor, stack: AsyncExitStack) -> Urls:
    """Start the embedded servers that the configuration asks for and keep them running."""
    redis, dsn = configured(config)
    if redis is not None and dsn is not None:
        return Urls(redis, dsn)
    servers = EmbeddedServers(
        config.data_dir,
        valkey=redis is None,
        postgres=dsn is None,
        valkey_port=config.bus.port,
        postgres_port=config.store.port,
    )
    await stack.enter_async_context(servers)

    async def keep() -> None:
        while True:
            death = await servers.wait_dead()
            log.error("an embedded server ended, starting it again", server=death.name, reason=death.reason)
            await servers.restart(death.name)

    supervisor.start("servers", keep)
    stack.push_async_callback(_stop_all, supervisor)  # or the keeper would start what the unwinding stops
    return Urls(redis or servers.redis_url or "", dsn or servers.dsn or "")


async def _stop_all(supervisor: Supervisor) -> None:
    await supervisor.stop(*supervisor.status())


def _as_it_is(config: Config) -> Config:
    return config


async def _demo(supervisor: Supervisor, stack: AsyncExitStack) -> Callable[[Config], Config]:
    """Start the simulated exchange; return what adds it to a configuration."""
    simulator = await stack.enter_async_context(SimulatorProcess())
    supervisor.start("simulator", simulator.watch)
    return lambda config: with_demo(config, simulator.endpoints)


def _start(wired: Wired) -> None:
    """Start the checks and the handlers of this process."""
    supervisor, bus = wired.supervisor, wired.bus
    wired.checks.update(
        bus=bus_check(supervisor, wired.clock, bus),
        store=store_check(supervisor, wired.clock, wired.pool),
        roles=supervisor.check,
    )
    for name, part in wired.roles.handlers.items():
        handler = make_handler(name, wired.urls.dsn, bus, wired.config)
        subscription = Subscription(bus, handler, wired.clock, wired.random, part)
        wired.subscriptions.append(subscription)
        supervisor.start(f"handle:{name}", subscription.run)
    if (stores := wired.roles.handlers.get("persistence")) is not None and stores.number == 1:
        policy = partial(_retention, wired)
        supervisor.start("retention", partial(keep, wired.urls.dsn, policy, wired.clock))


def _retention(wired: Wired) -> Policy:
    return policy_of(wired.config.retention)


async def _collect(
    wired: Wired, stack: AsyncExitStack, reconfiguration: Reconfiguration, exchanges: Sequence[Exchange]
) -> None:
    """Start what collects, in turns with the processes whose file names the same `exchanges`."""
    bus, supervisor = wired.bus, wired.supervisor
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_AT_ONCE, limit_per_host=CONNECTIONS_AT_ONCE)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    reconfiguration.group = await group_of(exchanges, bus.state)
    leadership = Leadership("feeds", bus.lease(f"feeds:{reconfiguration.group}"), wired.clock)
    wired.leaderships.append(leadership)
    supervisor.start("lease", leadership.run)
    reconfiguration.collecting = Collecting(wired, leadership, session)
    await reconfiguration.collecting.bring(wired.config.exchanges)
    bus.spool(wired.config.data_dir / "spool", wired.config.bus.spool_max_bytes)
    janitor = Janitor(bus.client, wired.urls.redis, bus.names, wired.clock, wired.config.bus.max_entries)
    supervisor.start("janitor", janitor.run)


async def _until_signal(signals: Signals, bus: RedisBus) -> None:
    """Wait for the first signal; the death of the bus's writer is a crash of the daemon."""
    ending = asyncio.create_task(signals.drain.wait())
    failing = asyncio.create_task(bus.failed())
    try:
        await asyncio.wait({ending, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
    finally:
        ending.cancel()
        failing.cancel()
