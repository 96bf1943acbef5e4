"""Brings the running parts from one configuration to another: the one place that knows what a changed setting does."""

import asyncio

import structlog

from bus.errors import MarketdError
from daemon import logs
from daemon.app.collecting import Collecting, join
from daemon.app.wired import Wired
from daemon.config import Config
from daemon.config.running import RunningConfig
from daemon.exchanges import load

log = structlog.get_logger(__name__)


class Reconfiguration:
    """Applies differences. `collecting` is what collects here, None in a process that only runs handlers."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self.collecting: Collecting | None = None
        self.group = ""
        """The processes that this one takes turns with."""

    async def apply(self, config: Config) -> None:
        """Bring everything to a configuration; what is as it should be is not touched."""
        if config.log != self._wired.config.log:
            logs.configure(config.log.level, config.log.format)
        self._wired.config = config
        if self.collecting is not None:
            await self.collecting.bring(config.exchanges)

    async def rebase(self, base: Config) -> None:
        """Say that file and environment mean something else now. Raises BusUnavailable."""
        if self.collecting is not None:
            await join(self.group, base.exchanges, self._wired.bus.state)


def feasible(config: Config) -> None:
    """Check what no model can know. Raises ConfigError that names the exchange and the nearest."""
    for exchange in config.exchanges:
        for name in (exchange.name, *exchange.fallbacks):
            load(name)


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
