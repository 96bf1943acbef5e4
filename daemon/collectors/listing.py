"""One exchange's symbols: loaded at the start, asked for again every hour and when a feed behaves as if delisted."""

from collections.abc import Mapping
from random import Random
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import ExchangeUnavailable, RequestRefused
from daemon.collectors.intake import Intake
from daemon.collectors.outbox import Outbox
from daemon.collectors.rest import RestClient
from daemon.exchanges.base import Exchange, Instrument

log = structlog.get_logger(__name__)

INTERVAL: Final = 3600.0
"""Seconds between two looks at the lists."""
SOONEST: Final = 300.0
"""Seconds between two looks when feeds give cause for more."""
LOOK: Final = 1.0


class Listing:
    """The one owner of an exchange's list of symbols."""

    def __init__(
        self, exchange: Exchange, rest: RestClient, intake: Intake, outbox: Outbox, clock: Clock, random: Random
    ) -> None:
        self._exchange = exchange
        self._rest = rest
        self._intake = intake
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._doubted = False
        self._last = clock.monotonic()
        self.trouble = ""
        """Why the last attempt failed, "" when it did not."""
        self.loads = 0
        """How often all lists have been loaded."""

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols, empty until they are loaded."""
        return self._exchange.instruments

    def doubt(self) -> None:
        """Say that a feed was refused or fell silent: its symbol may be listed no more."""
        self._doubted = True

    async def load(self) -> str:
        """Ask for all lists; return why one of them is not there, "" when all are."""
        self.trouble = await self._load()
        return self.trouble

    async def _load(self) -> str:
        self._last = self._clock.monotonic()
        for request in self._exchange.instruments_requests():
            try:
                body = await self._rest.get(request)
            except (ExchangeUnavailable, RequestRefused) as error:
                return str(error)
            digest = self._intake.answer(request, body, self._rest.url(request))
            await self._outbox.publish(digest.events)
            if not digest.data:
                return f"the answer of {request.path} could not be understood; see the dead letters"
        if not self._exchange.instruments:
            return "the answer names no symbol"
        self.loads += 1
        return ""

    async def next_load(self) -> None:
        """Wait until it is time to look again, and do."""
        interval = INTERVAL * self._random.uniform(0.9, 1.1)
        while self._clock.monotonic() - self._last < (SOONEST if self._doubted else interval):
            await self._clock.sleep(LOOK)
        self._doubted = False
        if reason := await self.load():
            log.warning("symbol list not refreshed", exchange=self._exchange.name, reason=reason)
