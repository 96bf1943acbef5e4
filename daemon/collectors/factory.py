"""Which collector runs an exchange: that of its translator where it has one here, ccxt's for every other."""

from difflib import get_close_matches
from random import Random

import aiohttp

from bus.clock import Clock
from bus.errors import ConfigError
from bus.interface import EventBus
from bus.leadership import Leadership
from daemon.collectors.ccxt.catalogue import names as through_ccxt
from daemon.collectors.ccxt.collector import CcxtCollector
from daemon.collectors.exchange import ExchangeCollector
from daemon.collectors.interface import Collector
from daemon.collectors.symbols import FeedSettings
from daemon.config import Exchange
from daemon.exchanges import load
from daemon.exchanges import names as native
from daemon.exchanges.base import Endpoints


def check(name: str) -> None:
    """Raise ConfigError, naming the nearest, where neither a translator nor ccxt has an exchange."""
    known = through_ccxt() | set(native())
    if name not in known:
        near = get_close_matches(name.lower(), known, n=3) or native()
        raise ConfigError(f"there is no exchange {name!r}; did you mean {' or '.join(near)}?")


def make_collector(
    exchange: Exchange, bus: EventBus, leadership: Leadership, session: aiohttp.ClientSession, clock: Clock,
    random: Random, *, idle: bool = False,
) -> Collector:  # fmt: skip
    """Make an exchange's collector; an idle one delivers nothing until it is told to. Raises ConfigError."""
    check(exchange.name)
    symbols = () if idle else exchange.symbols
    given = Endpoints(exchange.endpoints.rest or "", exchange.endpoints.websocket or "")
    if exchange.name not in native():
        settings = FeedSettings(symbols, exchange.channels, exchange.timeframes, given)
        return CcxtCollector(exchange.name, settings, bus, leadership, clock, random)
    translator = load(exchange.name)
    own = translator.endpoints
    endpoints = Endpoints(given.rest or own.rest, given.websocket or own.websocket)
    settings = FeedSettings(symbols, exchange.channels, exchange.timeframes, endpoints)
    return ExchangeCollector(translator(trades=exchange.trades), settings, bus, leadership, session, clock, random)
