"""Commands about what is collected: collectors.list, collector.start/stop/restart, symbols.add/remove."""

from collections.abc import Iterable, Mapping

from pydantic import Field, JsonValue

from bus.errors import UsageError
from daemon.collectors.interface import Collector
from daemon.collectors.symbols import feeds_of
from daemon.config.model import Channel, Symbol, Timeframe
from daemon.control.command import Arguments, Command
from daemon.exchanges.base import FeedKey
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


def symbols_add(collectors: Collectors) -> Command[Feeds]:
    """Make `symbols.add`: collects more symbols, channels or timeframes; the others are not touched."""

    async def run(arguments: Feeds) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        wanted = _feeds(arguments, collector)
        reasons = {feed: reason for feed in wanted if collector.loaded and (reason := collector.why_not(feed))}
        if reasons and len(reasons) == len(wanted):
            raise UsageError("; ".join(dict.fromkeys(reasons.values())))
        await collector.add(feed for feed in wanted if feed not in reasons)
        return {
            "exchange": collector.name,
            "added": [_named(feed) for feed in wanted if feed not in reasons],
            "refused": [{**_named(feed), "reason": reason} for feed, reason in reasons.items()],
        }

    return Command("symbols.add", Feeds, run)


def symbols_remove(collectors: Collectors) -> Command[Feeds]:
    """Make `symbols.remove`: stops collecting; without channels all of a symbol."""

    async def run(arguments: Feeds) -> JsonValue:
        collector = find(collectors, arguments.exchange)
        known = {feed.symbol for feed in collector.feeds}
        for symbol in arguments.symbols:
            if symbol not in known:
                raise UsageError(f"{symbol} is not collected from {collector.name}{did_you_mean(symbol, known)}")
        gone = [feed for feed in collector.feeds if _meant(feed, arguments)]
        await collector.remove(gone)
        return {"exchange": collector.name, "removed": [_named(feed) for feed in gone]}

    return Command("symbols.remove", Feeds, run)


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


def commands(
    collectors: Collectors, supervisor: Supervisor
) -> Iterable[Command[Nothing] | Command[OfExchange] | Command[Feeds]]:
    """Return all commands about collectors."""
    return (
        collectors_list(collectors, supervisor),
        collector_start(collectors, supervisor),
        collector_stop(collectors, supervisor),
        collector_restart(collectors, supervisor),
        symbols_add(collectors),
        symbols_remove(collectors),
    )
