"""Reaches the bus, the database and each exchange once, and says how that went, for `check` and `exchange test`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Final, NamedTuple

import aiohttp

from bus.clock import SystemClock
from bus.errors import MarketdError
from bus.events import MARKET_CHANNELS, Feed, MarketEvent
from bus.handler import StateStore
from bus.interface import Group
from bus.leadership import Leadership
from bus.local import LocalBus
from bus.redis.connection import check_server, connect
from daemon.bans import banned, kept_state
from daemon.collectors.factory import make_collector
from daemon.config import Config, Exchange
from daemon.servers import Urls, serve
from migrations.runner import status

FIRST_DATA: Final = 20.0
"""Seconds within which an exchange must deliver something."""


class Result(NamedTuple):
    """Whether it works, and a sentence."""

    ok: bool
    text: str


async def probe_all(config: Config) -> AsyncIterator[tuple[str, Result]]:
    """Probe everything that a configuration names, one after the other."""
    async with AsyncExitStack() as stack:
        try:
            urls = await stack.enter_async_context(serve(config))
        except MarketdError as error:
            yield "servers", Result(ok=False, text=str(error))
        else:
            yield "bus", await _bus(urls)
            yield "store", await _store(urls)
        state = await stack.enter_async_context(kept_state(config))
        for exchange in config.exchanges:
            yield f"exchange {exchange.name}", await probe(exchange, state)


async def _bus(urls: Urls) -> Result:
    client = connect(urls.redis)
    try:
        await check_server(client, urls.redis)
    except MarketdError as error:
        return Result(ok=False, text=str(error))
    finally:
        await client.aclose()
    return Result(ok=True, text="reachable, keeps what it is given")


async def _store(urls: Urls) -> Result:
    try:
        states = await status(urls.dsn)
    except MarketdError as error:
        return Result(ok=False, text=str(error))
    missing = [state for state in states if state.state == "pending"]
    return Result(ok=True, text="reachable" + (f", {len(missing)} migrations to apply" if missing else ""))


async def probe_exchange(config: Config, name: str) -> Result:
    """Probe one exchange: as configured, or with its own defaults. Raises ConfigError for an unknown name."""
    configured = next((exchange for exchange in config.exchanges if exchange.name == name), None)
    async with kept_state(config) as state:
        return await probe(configured or Exchange(name=name), state)


async def probe(exchange: Exchange, state: StateStore) -> Result:
    """Collect from an exchange until its first event, or its list where no symbol is named. Raises ConfigError.

    One that has banned us, as `state` knows, is not asked.
    """
    bus = LocalBus(state=state)
    consumer = await bus.consumer(Group("probe", frozenset(MARKET_CHANNELS), system=True))
    last = "no answer"
    async with aiohttp.ClientSession() as session:
        leadership = Leadership("feeds", bus.lease("feeds"), SystemClock())
        collector = make_collector(exchange, bus, leadership, session, SystemClock(), Random())
        task = asyncio.create_task(collector.run())
        try:
            async with asyncio.timeout(FIRST_DATA):
                while not task.done():
                    if ban := banned(collector):
                        return Result(ok=False, text=ban)
                    if collector.loaded and not collector.feeds:  # a rule has yet to choose them
                        return Result(ok=True, text=f"answers, {len(collector.listing.instruments)} symbols")
                    delivery = await consumer.read(0.5)
                    for event in (event for frame in delivery.frames for event in frame.events):
                        if isinstance(event, MarketEvent):
                            return Result(ok=True, text=f"delivers, {len(collector.listing.instruments)} symbols")
                        if type(event) is Feed and event.reason:
                            last = event.reason
        except TimeoutError:
            pass
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    where = collector.settings.endpoints.websocket or exchange.name
    return Result(ok=False, text=f"no data within {FIRST_DATA:g} s from {where}: {last}")
