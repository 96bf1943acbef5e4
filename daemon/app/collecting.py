"""Starts, changes and stops what collects: for each exchange a collector, its healing, and who stands in for it."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Final

import aiohttp

from bus.handler import StateStore
from bus.leadership import Leadership
from bus.subscription import Subscription
from daemon.app.plan import Planned, plan, steps
from daemon.app.wired import Wired
from daemon.collectors.exchange import ExchangeCollector
from daemon.config import Exchange
from daemon.exchanges import load
from daemon.fallback import Fallback
from daemon.feeds import settings_of
from daemon.healing import GapQueue, Healer, HealingHandler, Ledger
from daemon.instruments import keep_instruments

CONNECTIONS_AT_ONCE: Final = 20
ALIASES: Final = "feeds"
"""Where the state store keeps which digests mean the same group of processes."""


class Collecting:
    """Everything that collects. Each exchange's part starts, changes and ends without the others."""

    def __init__(self, wired: Wired, leadership: Leadership, session: aiohttp.ClientSession) -> None:
        self._wired = wired
        self._leadership = leadership
        self._session = session
        self._running: dict[str, Planned] = {}
        self._healing: dict[str, Subscription] = {}

    async def bring(self, exchanges: Sequence[Exchange]) -> None:
        """Collect from these exchanges, touching only what differs from what runs; repeat it where it was cut short."""
        wanted = plan(exchanges)
        todo = steps(self._running, wanted)
        supervisor, collectors = self._wired.supervisor, self._wired.collectors
        await supervisor.remove(*(f"fallback:{name}" for name in todo.dismiss))
        await asyncio.gather(*(self._stop(name) for name in todo.stop))
        for name in todo.change:
            await self._change(wanted[name])
        for name in todo.start:
            self._start(wanted[name])
        for name, planned in wanted.items():
            role, fallbacks = f"fallback:{name}", planned.exchange.fallbacks
            if fallbacks and role not in supervisor.status():
                supervisor.start(role, Fallback(collectors[name], collectors, fallbacks, self._wired.clock).run)

    def _start(self, planned: Planned) -> None:
        wired, name = self._wired, planned.exchange.name
        translator = load(name)
        settings = settings_of(planned.exchange, translator.endpoints, idle=planned.idle)
        collector = ExchangeCollector(
            translator(trades=planned.exchange.trades),
            settings,
            wired.bus,
            self._leadership,
            self._session,
            wired.clock,
            wired.random,
        )
        wired.collectors[name] = collector
        wired.supervisor.start(f"collect:{name}", collector.run)
        self._start_healing(collector)
        wired.supervisor.start(f"instruments:{name}", partial(keep_instruments, collector, wired.pool, wired.clock))
        self._running[name] = planned

    def _start_healing(self, collector: ExchangeCollector) -> None:
        """Start what refetches an exchange's gaps; it stands with the collector, whose request limits it shares."""
        wired, name = self._wired, collector.name
        queue = GapQueue(name, wired.bus.state, wired.clock, wired.random)
        subscription = Subscription(wired.bus, HealingHandler(queue, collector.resync_book), wired.clock, wired.random)
        wired.subscriptions.append(subscription)
        self._healing[name] = subscription
        wired.supervisor.start(f"handle:healing.{name}", subscription.run)
        healer = Healer(collector, queue, Ledger(wired.pool, wired.clock), wired.bus, wired.clock)
        wired.supervisor.start(f"heal:{name}", healer.run)

    async def _change(self, planned: Planned) -> None:
        """Deliver what is wanted now and no more what is not, over the connections that stand."""
        name = planned.exchange.name
        collector = self._wired.collectors[name]
        before, after = (
            settings_of(exchange, collector.settings.endpoints, idle=idle)
            for exchange, idle in (self._running[name], planned)
        )
        old, new = dict.fromkeys(before.keys()), dict.fromkeys(after.keys())
        moved = set(before.at_close).symmetric_difference(after.at_close)
        kept = {feed for feed in old if feed in new and feed.timeframe not in moved}
        await collector.remove(feed for feed in old if feed not in kept)
        collector.settings = after
        await collector.add(feed for feed in new if feed not in kept)
        self._running[name] = planned

    async def _stop(self, name: str) -> None:
        """End an exchange's part; its feeds are said to be down."""
        roles = (f"heal:{name}", f"handle:healing.{name}", f"instruments:{name}", f"collect:{name}")
        await self._wired.supervisor.remove(*roles)
        self._wired.subscriptions.remove(self._healing.pop(name))
        del self._wired.collectors[name], self._running[name]


async def group_of(exchanges: Sequence[Exchange], state: StateStore) -> str:
    """Return the name of the group of processes that take turns at these exchanges. Raises BusUnavailable.

    It is a digest of what the file says at the start. A process that reads a changed file while it runs keeps its
    group and notes that the changed file means the same one, so that a process started on it later joins in.
    """
    digest = _digest(exchanges)
    return (await state.load(ALIASES)).get(digest, digest.encode()).decode()


async def join(group: str, exchanges: Sequence[Exchange], state: StateStore) -> None:
    """Note that what a changed file says means this group. Raises BusUnavailable."""
    await state.save(ALIASES, {_digest(exchanges): group.encode()})


def _digest(exchanges: Sequence[Exchange]) -> str:
    """Return a short name of what is collected."""
    described = json.dumps([exchange.model_dump(mode="json") for exchange in exchanges], sort_keys=True)
    return sha256(described.encode()).hexdigest()[:12]
