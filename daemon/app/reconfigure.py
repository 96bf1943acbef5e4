"""Brings the running parts from one configuration to another: the one place that knows what a changed setting does."""

import asyncio
from collections.abc import Iterable

import structlog

from bus.errors import ConfigError, MarketdError
from daemon import logs
from daemon.app.collecting import Collecting, join
from daemon.app.wired import Wired
from daemon.collectors.factory import check_all
from daemon.collectors.interface import Collector
from daemon.config import Config
from daemon.config.running import RunningConfig
from daemon.exchanges.base import FeedKey
from daemon.feeds import configured

log = structlog.get_logger(__name__)


class Reconfiguration:
    """Applies differences. `collecting` is what collects here, None in a process that only runs handlers."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self.collecting: Collecting | None = None
        self.group = ""
        """The processes that this one takes turns with."""

    def check(self, config: Config) -> None:
        """Raise ConfigError for exchanges that there are not, naming the nearest, and rules that cannot be followed."""
        check_all(config.exchanges)

    async def apply(self, config: Config) -> None:
        """Bring everything to a configuration; what is as it should be is not touched."""
        if config.log != self._wired.config.log:
            logs.configure(config.log.level, config.log.format)
        self._wired.config = config
        if self.collecting is not None:
            await self.collecting.bring(config.exchanges)

    def doubt(self, config: Config) -> None:
        """Raise ConfigError, naming the nearest, for symbols of which an exchange has nothing that is wanted anew.

        A symbol that is delivered already may lack a channel, or be delisted: that shows as a feed that is down.
        """
        problems = []
        for exchange in config.exchanges:
            collector = self._wired.collectors.get(exchange.name)
            if collector is not None and collector.loaded:
                present = set(collector.feeds)
                problems += _undeliverable(collector, [feed for feed in configured(exchange) if feed not in present])
        if problems:
            raise ConfigError("\n".join(problems))

    async def rebase(self, base: Config) -> None:
        """Say that file and environment mean something else now. Raises BusUnavailable."""
        if self.collecting is not None:
            await join(self.group, base.exchanges, self._wired.bus.state)


def _undeliverable(collector: Collector, feeds: Iterable[FeedKey]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for feed in feeds:
        reasons.setdefault(feed.symbol, []).append(collector.why_not(feed))
    return list(dict.fromkeys(each[0] for each in reasons.values() if all(each)))


async def reload_on_signal(signal: asyncio.Event, running: RunningConfig) -> None:
    """Read the file again at every SIGHUP, until cancelled. One that is wrong changes nothing."""
    while True:
        await signal.wait()
        signal.clear()
        try:
            version = await running.reload("SIGHUP")
        except MarketdError as error:
            log.error("configuration not reloaded, everything stays as it is", reason=str(error))  # noqa: TRY400 # a sentence, no stack
        else:
            log.info("configuration reloaded", version=version)
