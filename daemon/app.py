"""The only place that wires the parts of the daemon together, and the order in which they start and end."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from random import Random

import aiohttp
import asyncpg
import structlog

from bus import metrics
from bus.clock import Clock, SystemClock
from bus.leadership import Leadership
from bus.redis import RedisBus
from bus.redis.janitor import Janitor
from bus.subscription import Subscription
from daemon import logs
from daemon.collectors.exchange import ExchangeCollector, FeedSettings
from daemon.config import Config, Exchange
from daemon.control.audit import AuditLog
from daemon.control.basic import log_level, ping, status
from daemon.control.breakers import commands as breaker_commands
from daemon.control.collectors import commands as collector_commands
from daemon.control.command import Commands
from daemon.control.gaps import commands as gap_commands
from daemon.control.server import ControlServer
from daemon.demo import DEMO_EXCHANGE, SimulatorProcess
from daemon.embedded.servers import EmbeddedServers
from daemon.exchanges import load
from daemon.exchanges.base import Endpoints
from daemon.fallback import Fallback
from daemon.healing import GapQueue, Healer, HealingHandler
from daemon.http import HttpServer
from daemon.instruments import keep_instruments
from daemon.redact import register_url
from daemon.roles import HANDLERS, Roles
from daemon.servers import Urls, configured
from daemon.signals import Signals
from daemon.supervisor import DrainStep, Supervisor
from daemon.systemd import Notifier
from daemon.watchdog import Watchdog
from migrations.runner import migrate

log = structlog.get_logger(__name__)

CONNECTIONS_AT_ONCE = 20
STORE_CHECK_INTERVAL = 2.0


@dataclass
class _Wired:
    """What the running parts share."""

    config: Config
    roles: Roles
    clock: Clock
    random: Random
    bus: RedisBus
    urls: Urls
    supervisor: Supervisor
    collectors: dict[str, ExchangeCollector]
    subscriptions: list[Subscription]
    leaderships: list[Leadership]
    checks: dict[str, Callable[[], tuple[bool, str]]]


async def run(config: Config, roles: Roles, *, demo: bool) -> int:
    """Run the daemon until a signal ends it. Return 0 when everything was drained, 1 when that was cut short.

    Raises ConfigError, BusUnavailable, StoreUnavailable when it cannot start.
    """
    logs.configure(config.log.level, config.log.format)
    for url in config.secret_urls():
        register_url(url)
    signals = Signals()
    signals.install(asyncio.get_running_loop())
    notifier = Notifier(os.environ)
    clock, random = SystemClock(), Random()
    supervisor = Supervisor(clock, random)
    checks: dict[str, Callable[[], tuple[bool, str]]] = {"start": lambda: (False, "still starting")}
    async with AsyncExitStack() as stack:
        urls = await _servers(config, supervisor, stack)
        http = HttpServer(config.http.listen, checks)
        stack.push_async_callback(http.close)
        url = await http.start()
        await migrate(urls.dsn)
        bus = await RedisBus.open(urls.redis, prefix=config.bus.prefix, clock=clock, random=random)
        stack.push_async_callback(bus.close)
        stack.push_async_callback(_stop_all, supervisor)  # where starting fails half-way, or the bus itself does
        wired = _Wired(config, roles, clock, random, bus, urls, supervisor, {}, [], [], checks)
        await _start(wired, notifier, stack, demo=demo)
        del checks["start"]
        log.info("marketd runs", version=version("marketd"), roles=str(roles), http=url)
        notifier.ready(f"running: {roles}")
        await _until_signal(signals, bus)
        notifier.stopping("draining")
        complete = await supervisor.drain(_drain_steps(wired), config.shutdown.deadline, signals.now)
        log.info("marketd ends", drained=complete)
        return 0 if complete else 1


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


async def _start(wired: _Wired, notifier: Notifier, stack: AsyncExitStack, *, demo: bool) -> None:
    """Start every part of this process's roles."""
    supervisor, config = wired.supervisor, wired.config
    supervisor.start("watchdog", Watchdog(notifier).run)
    pool = await stack.enter_async_context(
        asyncpg.create_pool(wired.urls.dsn, min_size=0, max_size=4, timeout=10, command_timeout=30)
    )
    wired.checks.update(bus=_bus_check(wired.bus), store=_store_check(supervisor, wired.clock, pool))
    wired.checks["roles"] = supervisor.check
    for name in wired.roles.handlers:
        handler = HANDLERS[name](wired.urls.dsn)
        subscription = Subscription(wired.bus, handler, wired.clock, wired.random)
        wired.subscriptions.append(subscription)
        supervisor.start(f"handle:{name}", subscription.run)
    if wired.roles.collect:
        await _start_collectors(wired, stack, pool, demo=demo)
    if wired.roles.collect:
        janitor = Janitor(wired.bus.client, wired.urls.redis, wired.bus.names, wired.clock, config.bus.max_entries)
        supervisor.start("janitor", janitor.run)
        _start_control(wired, pool)


async def _start_collectors(
    wired: _Wired, stack: AsyncExitStack, pool: "asyncpg.Pool[asyncpg.Record]", *, demo: bool
) -> None:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_AT_ONCE, limit_per_host=CONNECTIONS_AT_ONCE)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    wanted = list(wired.config.exchanges)
    if demo:
        simulator = await stack.enter_async_context(SimulatorProcess())
        wired.supervisor.start("simulator", simulator.watch)
        own = "exchanges" in wired.config.model_fields_set
        wanted = [*(wanted if own else ()), DEMO_EXCHANGE.model_copy(update={"endpoints": simulator.endpoints})]
    leadership = Leadership("feeds", wired.bus.lease(f"feeds:{_digest(wanted)}"), wired.clock)
    wired.leaderships.append(leadership)
    wired.supervisor.start("lease", leadership.run)
    named = {exchange.name for exchange in wanted}
    spare = {name for exchange in wanted for name in exchange.fallbacks} - named
    for exchange in [*wanted, *(Exchange(name=name) for name in sorted(spare))]:
        collector = _collector(wired, exchange, leadership, session, idle=exchange.name in spare)
        wired.collectors[exchange.name] = collector
        wired.supervisor.start(f"collect:{exchange.name}", collector.run)
        _start_healing(wired, collector)
        wired.supervisor.start(f"instruments:{exchange.name}", partial(keep_instruments, collector, pool, wired.clock))
    for exchange in wanted:
        if exchange.fallbacks:
            keeper = Fallback(wired.collectors[exchange.name], wired.collectors, exchange.fallbacks, wired.clock)
            wired.supervisor.start(f"fallback:{exchange.name}", keeper.run)


def _digest(exchanges: Sequence[Exchange]) -> str:
    """Return a short name of what is collected: processes in which it is the same take turns."""
    described = json.dumps([exchange.model_dump(mode="json") for exchange in exchanges], sort_keys=True)
    return sha256(described.encode()).hexdigest()[:12]


def _start_healing(wired: _Wired, collector: ExchangeCollector) -> None:
    """Start what refetches an exchange's gaps; it stands with the collector, whose request limits it shares."""
    queue = GapQueue(collector.name, wired.bus.state, wired.clock, wired.random)
    subscription = Subscription(wired.bus, HealingHandler(queue), wired.clock, wired.random)
    wired.subscriptions.append(subscription)
    wired.supervisor.start(f"handle:healing.{collector.name}", subscription.run)
    wired.supervisor.start(f"heal:{collector.name}", Healer(collector, queue, wired.bus, wired.clock).run)


def _collector(
    wired: _Wired, exchange: Exchange, leadership: Leadership, session: aiohttp.ClientSession, *, idle: bool
) -> ExchangeCollector:
    """Make an exchange's collector; an idle one delivers nothing until it has to stand in for another exchange."""
    translator = load(exchange.name)
    own = translator.endpoints
    endpoints = Endpoints(exchange.endpoints.rest or own.rest, exchange.endpoints.websocket or own.websocket)
    settings = FeedSettings(() if idle else exchange.symbols, exchange.channels, exchange.timeframes, endpoints)
    return ExchangeCollector(
        translator(trades=exchange.trades), settings, wired.bus, leadership, session, wired.clock, wired.random
    )


def _start_control(wired: _Wired, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    audit = AuditLog(pool, wired.clock, wired.random)
    wired.supervisor.start("audit", audit.run)
    commands = Commands(
        [
            ping(wired.clock),
            status(version("marketd"), wired.supervisor.status, wired.checks),
            log_level(),
            *collector_commands(wired.collectors, wired.supervisor),
            *breaker_commands(wired.collectors),
            *gap_commands(pool, wired.bus.publish, wired.clock),
        ]
    )
    control = ControlServer(
        wired.bus.client, wired.bus.names, commands, audit.record, clock=wired.clock, rng=wired.random
    )
    (leadership,) = wired.leaderships
    wired.supervisor.start("control", partial(leadership.while_held, control.run))


def _bus_check(bus: RedisBus) -> Callable[[], tuple[bool, str]]:
    return lambda: (bus.connected, "reachable" if bus.connected else "Redis cannot be reached, events wait in memory")


def _store_check(
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


def _drain_steps(wired: _Wired) -> list[DrainStep]:
    """Collectors end first, then what they brought reaches the streams, then the handlers digest it."""
    supervisor = wired.supervisor
    collecting = [
        name for name in supervisor.status() if name.startswith(("fallback:", "collect:", "heal:")) or name == "control"
    ]

    async def hand_over() -> None:
        await supervisor.stop("lease")
        for leadership in wired.leaderships:
            await leadership.release()

    async def catch_up() -> None:
        acting = [subscription for subscription in wired.subscriptions if subscription.acts]
        for subscription in acting:
            subscription.caught_up.clear()
        await asyncio.gather(*(subscription.caught_up.wait() for subscription in acting))

    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("lease", hand_over),
        ("collectors", partial(supervisor.stop, *collecting)),
        ("bus", partial(wired.bus.flush, wired.config.shutdown.deadline)),
        ("handlers", catch_up),
        ("what handlers said", partial(wired.bus.flush, wired.config.shutdown.deadline)),
    ]
    return [DrainStep(name, step) for name, step in steps]
