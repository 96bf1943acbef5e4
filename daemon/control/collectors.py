"""Commands about what is collected: collectors.list, collector.start/stop/restart, symbols.add/remove."""

from collections.abc import Iterable, Mapping

from pydantic import Field, JsonValue

from bus.errors import UsageError
from daemon.collectors.interface import Collector
from daemon.collectors.symbols import feeds_of
from daemon.config import Exchange
from daemon.config.model import Channel, Symbol, Timeframe
from daemon.config.running import RunningConfig
from daemon.control.command import AnyCommand, Arguments, Command, SignedCommand
from daemon.control.config import DEADLINE, worded
from daemon.control.request import Rejected, Request
from daemon.exchanges.base import FeedKey
from daemon.feeds import configured, described
from daemon.nearest import did_you_mean
from daemon.supervisor import Supervisor

Collectors = Mapping[str, Collector]


class Nothing(Arguments):
    """No arguments."""


class OfExchange(Arguments):
    """Arguments that name an exchange."""

    exchange: str = Field(description="the exchange, as configured")


class Feeds(OfExchange):
    """Arguments that name feeds; channels and timeframes that are left out are those configured."""

    symbols: tuple[Symbol, ...] = Field(min_length=1, max_length=1_000, description="unified symbols, like BTC/USDT")
    channels: tuple[Channel, ...] = Field(default=(), description="channels; all configured ones when left out")
    timeframes: tuple[Timeframe, ...] = Field(default=(), description="candle lengths; the configured ones otherwise")


def find(collectors: Collectors, name: str) -> Collector:
    """Return the collector of an exchange. Raises UsageError, naming the nearest."""
    if name not in collectors:
        known = ", ".join(collectors) or "none here"
        raise UsageError(f"no exchange {name!r} is collected{did_you_mean(name, collectors)}; there are {known}")
    return collectors[name]


def collectors_list(collectors: Collectors, supervisor: Supervisor) -> Command[Nothing]:
    """Make `collectors.list`: every exchange with its feeds, connections and breakers."""

    async def run(_: Nothing) -> JsonValue:
        roles = supervisor.status()
        return [
            {**collector.status(), "state": roles[f"collect:{name}"].state} for name, collector in collectors.items()
        ]

    return Command("collectors.list", Nothing, run)


def collector_start(collectors: Collectors, supervisor: Supervisor) -> Command[OfExchange]:
    """Make `collector.start`: collects from an exchange again."""

    async def run(arguments: OfExchange) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        role = f"collect:{collector.name}"
        if supervisor.status()[role].state in {"stopped", "ended"}:
            supervisor.start(role, collector.run)
        return {"exchange": collector.name, "state": supervisor.status()[role].state}

    return Command("collector.start", OfExchange, run)


def collector_stop(collectors: Collectors, supervisor: Supervisor) -> Command[OfExchange]:
    """Make `collector.stop`: closes an exchange's connections; its feeds are down until it is started again."""

    async def run(arguments: OfExchange) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        await supervisor.stop(f"collect:{collector.name}")
        return {"exchange": collector.name, "state": supervisor.status()[f"collect:{collector.name}"].state}

    return Command("collector.stop", OfExchange, run)


def collector_restart(collectors: Collectors, supervisor: Supervisor) -> Command[OfExchange]:
    """Make `collector.restart`: stops and starts an exchange's collector."""

    async def run(arguments: OfExchange) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        role = f"collect:{collector.name}"
        await supervisor.stop(role)
        supervisor.start(role, collector.run)
        return {"exchange": collector.name, "state": supervisor.status()[role].state}

    return Command("collector.restart", OfExchange, run)


def symbols_add(collectors: Collectors, running: RunningConfig) -> SignedCommand[Feeds]:
    """Make `symbols.add`: collects more symbols, channels or timeframes from now on; the others are not touched."""

    async def run(arguments: Feeds, request: Request) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        exchange = _exchange(running, collector.name)
        wanted = _feeds(arguments, collector)
        while True:
            loaded = collector.loaded
            reasons = {feed: reason for feed in wanted if loaded and (reason := collector.why_not(feed))}
            if reasons and len(reasons) == len(wanted):
                raise UsageError("; ".join(dict.fromkeys(reasons.values())))
            added = [feed for feed in wanted if feed not in reasons]
            try:
                version = await _keep(running, exchange, [*configured(exchange), *added], request)
                break
            except Rejected:
                if loaded or not collector.loaded:
                    raise  # else the list of symbols has come meanwhile, and says which are to be left out
        return {
            "exchange": collector.name,
            "version": version,
            "added": [_named(feed) for feed in added],
            "refused": [{**_named(feed), "reason": reason} for feed, reason in reasons.items()],
        }

    return SignedCommand("symbols.add", Feeds, run, DEADLINE)


def symbols_remove(collectors: Collectors, running: RunningConfig) -> SignedCommand[Feeds]:
    """Make `symbols.remove`: stops collecting; without channels all of a symbol."""

    async def run(arguments: Feeds, request: Request) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        exchange = _exchange(running, collector.name)
        present = configured(exchange)
        known = {feed.symbol for feed in present}
        for symbol in arguments.symbols:
            if symbol not in known and exchange.select.active:
                raise UsageError(f"{symbol} is not configured by name: change exchanges.{collector.name}.select")
            if symbol not in known:
                raise UsageError(f"{symbol} is not configured for {collector.name}{did_you_mean(symbol, known)}")
        gone = [feed for feed in present if _meant(feed, arguments)]
        kept = [feed for feed in present if feed not in gone]
        if not kept and not exchange.select.active:
            raise UsageError(
                f"nothing would be left of {collector.name}: stop it with collector.stop, or give it up with "
                f"config.set path=exchanges.{collector.name} value=null"
            )
        version = await _keep(running, exchange, kept, request)
        return {"exchange": collector.name, "version": version, "removed": [_named(feed) for feed in gone]}

    return SignedCommand("symbols.remove", Feeds, run, DEADLINE)


def _exchange(running: RunningConfig, name: str) -> Exchange:
    """Return an exchange as configured; one that only stands in for others has nothing configured yet."""
    named = (exchange for exchange in running.current.exchanges if exchange.name == name)
    return next(named, None) or Exchange(name=name).model_copy(update={"symbols": ()})


async def _keep(running: RunningConfig, exchange: Exchange, feeds: Iterable[FeedKey], request: Request) -> int:
    """Have these feeds of an exchange configured, and return the version."""
    patch = {"exchanges": {exchange.name: described(exchange, feeds)}}
    comment = f"{request.command} {exchange.name}"
    return await worded(running.set(patch, request.client, request.expect_version, comment))


def _feeds(arguments: Feeds, collector: Collector) -> list[FeedKey]:
    """Return the feeds that arguments mean."""
    settings = collector.settings
    channels = arguments.channels or settings.channels
    return feeds_of(arguments.symbols, channels, arguments.timeframes or settings.timeframes)


def _meant(feed: FeedKey, arguments: Feeds) -> bool:
    return (
        feed.symbol in arguments.symbols
        and (not arguments.channels or feed.channel in arguments.channels)
        and (not arguments.timeframes or not feed.timeframe or feed.timeframe in arguments.timeframes)
    )


def _named(feed: FeedKey) -> dict[str, JsonValue]:
    named: dict[str, JsonValue] = {"symbol": feed.symbol, "channel": feed.channel}
    return named | ({"timeframe": feed.timeframe} if feed.timeframe else {})


def commands(collectors: Collectors, supervisor: Supervisor, running: RunningConfig) -> Iterable[AnyCommand]:
    """Return all commands about collectors."""
    return (
        collectors_list(collectors, supervisor),
        collector_start(collectors, supervisor),
        collector_stop(collectors, supervisor),
        collector_restart(collectors, supervisor),
        symbols_add(collectors, running),
        symbols_remove(collectors, running),
    )
