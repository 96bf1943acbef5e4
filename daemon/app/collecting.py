"""Starts what collects: one collector for each exchange, its healing, its fallbacks, and whose turn it is."""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from hashlib import sha256

import aiohttp

from bus.leadership import Leadership
from bus.subscription import Subscription
from daemon.app.wired import Wired
from daemon.collectors.factory import make_collector
from daemon.collectors.interface import Collector
from daemon.config import Exchange
from daemon.demo import DEMO_EXCHANGE, SimulatorProcess
from daemon.fallback import Fallback
from daemon.healing import GapQueue, Healer, HealingHandler, Ledger
from daemon.instruments import keep_instruments

CONNECTIONS_AT_ONCE = 20


async def start_collectors(wired: Wired, stack: AsyncExitStack, *, demo: bool) -> None:
    """Start what collects from every exchange that is configured."""
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
        collector = make_collector(
            exchange, wired.bus, leadership, session, wired.clock, wired.random, idle=exchange.name in spare
        )
        wired.collectors[exchange.name] = collector
        wired.supervisor.start(f"collect:{exchange.name}", collector.run)
        _start_healing(wired, collector)
        wired.supervisor.start(
            f"instruments:{exchange.name}", partial(keep_instruments, collector, wired.pool, wired.clock)
        )
    for exchange in wanted:
        if exchange.fallbacks:
            keeper = Fallback(wired.collectors[exchange.name], wired.collectors, exchange.fallbacks, wired.clock)
            wired.supervisor.start(f"fallback:{exchange.name}", keeper.run)


def _digest(exchanges: Sequence[Exchange]) -> str:
    """Return a short name of what is collected: processes in which it is the same take turns."""
    described = json.dumps([exchange.model_dump(mode="json") for exchange in exchanges], sort_keys=True)
    return sha256(described.encode()).hexdigest()[:12]


def _start_healing(wired: Wired, collector: Collector) -> None:
    """Start what refetches an exchange's gaps; it stands with the collector, whose request limits it shares."""
    queue = GapQueue(collector.name, wired.bus.state, wired.clock, wired.random)
    subscription = Subscription(wired.bus, HealingHandler(queue, collector.resync_book), wired.clock, wired.random)
    wired.subscriptions.append(subscription)
    wired.supervisor.start(f"handle:healing.{collector.name}", subscription.run)
    healer = Healer(collector, queue, Ledger(wired.pool, wired.clock), wired.bus, wired.clock)
    wired.supervisor.start(f"heal:{collector.name}", healer.run)
