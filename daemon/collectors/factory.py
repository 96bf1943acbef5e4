"""Which collector runs an exchange: that of its translator where it has one here, ccxt's for every other."""

from collections.abc import Iterable, Sequence
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
from daemon.config import Exchange
from daemon.exchanges import load
from daemon.exchanges import names as native
from daemon.exchanges.base import Endpoints
from daemon.feeds import settings_of


def check(name: str) -> None:
    """Raise ConfigError, naming the nearest, where neither a translator nor ccxt has an exchange."""
    known = through_ccxt() | set(native())
    if name not in known:
        near = get_close_matches(name.lower(), known, n=3) or native()
        raise ConfigError(f"there is no exchange {name!r}; did you mean {' or '.join(near)}?")


def check_all(exchanges: Iterable[Exchange]) -> None:
    """Raise ConfigError for exchanges that there are not, naming the nearest, and rules that cannot be followed."""
    for exchange in exchanges:
        for name in (exchange.name, *exchange.fallbacks):
            check(name)
        if exchange.select.top and not tells_volumes(exchange.name):
            what = f"exchanges.{exchange.name}.select.top"
            raise ConfigError(f"{what}: {exchange.name} does not tell every symbol's volume; leave it out")


def tells_volumes(name: str) -> bool:
    """Tell whether an exchange may tell every symbol's volume; of ccxt's that is known once they are asked."""
    return name not in native() or bool(load(name)().volumes_requests())


def make_collector(
    exchange: Exchange, bus: EventBus, leadership: Leadership, session: aiohttp.ClientSession, clock: Clock,
    random: Random, *, idle: bool = False, chosen: Sequence[str] = (),
) -> Collector:  # fmt: skip
    """Make an exchange's collector; an idle one delivers nothing until it is told to. Raises ConfigError.

    `chosen`: symbols that a rule has chosen.
    """
    check(exchange.name)
    if exchange.name not in native():
        settings = settings_of(exchange, Endpoints("", ""), idle=idle, chosen=chosen)
        return CcxtCollector(exchange.name, settings, bus, leadership, clock, random)
    translator = load(exchange.name)
    settings = settings_of(exchange, translator.endpoints, idle=idle, chosen=chosen)
    return ExchangeCollector(translator(trades=exchange.trades), settings, bus, leadership, session, clock, random)
