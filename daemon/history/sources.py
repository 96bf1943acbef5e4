"""Whom to ask for history: the collector that runs here, or one that is started for as long as it is needed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import aiohttp

from bus.clock import Clock
from bus.errors import ExchangeUnavailable
from bus.handler import StateStore
from bus.leadership import Leadership
from bus.local import LocalBus
from daemon.collectors.factory import check, make_collector
from daemon.collectors.interface import Collector
from daemon.config import Config, Exchange

LOADING: Final = 30.0
"""Seconds within which an exchange's symbols must be known."""
LOOK: Final = 0.05


class Sources:
    """Collectors by exchange. `configured` says how an exchange is to be reached; `state` knows of bans."""

    def __init__(
        self,
        running: Mapping[str, Collector],
        configured: Callable[[str], Exchange],
        state: StateStore,
        clock: Clock,
        random: Random,
    ) -> None:
        self._running = running
        self._configured = configured
        self._state = state
        self._clock = clock
        self._random = random

    @asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[Collector]:
        """Give an exchange's collector with its symbols loaded. Raises ConfigError, ExchangeUnavailable."""
        collector = self._running.get(name)
        if collector is not None:
            await self._loaded(collector)
            yield collector
            return
        async with self._visit(self._configured(name)) as visiting:
            await self._loaded(visiting)
            yield visiting

    @asynccontextmanager
    async def _visit(self, exchange: Exchange) -> AsyncIterator[Collector]:
        """Run a collector without feeds, on a bus of its own: it says nothing to anybody."""
        bus = LocalBus(state=self._state)
        leadership = Leadership("feeds", bus.lease("feeds"), self._clock)
        async with aiohttp.ClientSession() as session:
            collector = make_collector(exchange, bus, leadership, session, self._clock, self._random, idle=True)
            running = asyncio.create_task(collector.run())
            try:
                yield collector
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _loaded(self, collector: Collector) -> None:
        deadline = self._clock.monotonic() + LOADING
        while not collector.loaded:
            if self._clock.monotonic() > deadline:
                why = f": {trouble}" if (trouble := collector.listing.trouble) else ""
                raise ExchangeUnavailable(f"{collector.name}: no symbol list within {LOADING:g} s{why}")
            await self._clock.sleep(LOOK)


def configured(config: Config, name: str) -> Exchange:
    """Return how an exchange is to be reached: as configured, or with its own defaults. Raises ConfigError."""
    check(name)
    return next((exchange for exchange in config.exchanges if exchange.name == name), Exchange(name=name))
