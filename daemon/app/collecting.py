"""Starts, changes and stops what collects: for each exchange a collector, its healing, and who stands in for it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Final

import aiohttp

from bus.handler import StateStore
from bus.leadership import Leadership
from bus.subscription import Subscription
from daemon.app.plan import Planned, plan, steps
from daemon.app.wired import Wired
from daemon.collectors.factory import make_collector
from daemon.collectors.interface import Collector
from daemon.config import Exchange, Selection
from daemon.fallback import Fallback
from daemon.feeds import settings_of
from daemon.healing import GapQueue, Healer, HealingHandler, Ledger
from daemon.instruments import keep_instruments
from daemon.selection import Selector
from daemon.supervisor import Factory

CONNECTIONS_AT_ONCE: Final = 20
ALIASES: Final = "feeds"
"""Where the state store keeps which digests mean the same group of processes."""


class Collecting:
    """Everything that collects. Each exchange's part starts, changes and ends without the others."""

    def __init__(self, wired: Wired, leadership: Leadership, session: aiohttp.ClientSession) -> None:
        self._wired = wired
        self._leadership = leadership
        self._session = session
        self._lock = asyncio.Lock()
        self._exchanges: Sequence[Exchange] = ()
        self._chosen: dict[str, tuple[str, ...]] = {}
        self._running: dict[str, Planned] = {}
        self._healing: dict[str, Subscription] = {}

    async def bring(self, exchanges: Sequence[Exchange]) -> None:
        """Collect from these exchanges, touching only what differs from what runs; repeat it where it was cut short."""
        self._exchanges = exchanges
        await self._reach()

    async def choose(self, name: str, symbols: tuple[str, ...]) -> None:
        """Collect the symbols that an exchange's rule has chosen, in place of those that it chose before."""
        if self._chosen.get(name) != symbols:
            self._chosen[name] = symbols
            await self._reach()

    async def _reach(self) -> None:
        async with self._lock:
            rules = {exchange.name: exchange.select for exchange in self._exchanges if exchange.select.active}
            self._chosen = {name: symbols for name, symbols in self._chosen.items() if name in rules}
            await self._take(plan(self._exchanges, self._chosen), rules)

    async def _take(self, wanted: Mapping[str, Planned], rules: Mapping[str, Selection]) -> None:
        """Take the steps from what runs to what is wanted."""
        todo = steps(self._running, wanted)
        supervisor = self._wired.supervisor
        await supervisor.remove(*(f"fallback:{name}" for name in todo.dismiss))
        await supervisor.remove(
            *(
                f"select:{name}"
                for name, planned in self._running.items()
                if name in todo.stop or planned.exchange.select != rules.get(name)
            )
        )
        await asyncio.gather(*(self._stop(name) for name in todo.stop))
        for name in todo.change:
            await self._change(wanted[name])
        for name in todo.start:
            self._start(wanted[name])
        self._attend(wanted, rules)

    def _attend(self, wanted: Mapping[str, Planned], rules: Mapping[str, Selection]) -> None:
        """Start those who find stand-ins and choose symbols, where they do not run yet."""
        wired, collectors = self._wired, self._wired.collectors
        roles: dict[str, Factory] = {}
        for name, planned in wanted.items():
            if fallbacks := planned.exchange.fallbacks:
                roles[f"fallback:{name}"] = Fallback(collectors[name], collectors, fallbacks, wired.clock).run
        for name, rule in rules.items():
            apply = partial(self.choose, name)
            selector = Selector(collectors[name], rule, wired.bus.state, apply, wired.clock, wired.random)
            roles[f"select:{name}"] = selector.run
        for role in roles.keys() - wired.supervisor.status().keys():
            wired.supervisor.start(role, roles[role])

    def _start(self, planned: Planned) -> None:
        wired, name = self._wired, planned.exchange.name
        collector = make_collector(
            planned.exchange, wired.bus, self._leadership, self._session, wired.clock, wired.random,
            idle=planned.idle, chosen=planned.chosen,
        )  # fmt: skip
        wired.collectors[name] = collector
        wired.supervisor.start(f"collect:{name}", collector.run)
        self._start_healing(collector)
        wired.supervisor.start(f"instruments:{name}", partial(keep_instruments, collector, wired.pool, wired.clock))
        self._running[name] = planned

    def _start_healing(self, collector: Collector) -> None:
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
            settings_of(one.exchange, collector.settings.endpoints, idle=one.idle, chosen=one.chosen)
            for one in (self._running[name], planned)
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
