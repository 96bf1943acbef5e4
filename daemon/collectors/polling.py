"""Asks again and again for what an exchange does not stream, such as open interest."""

from collections.abc import Callable
from random import Random
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import ExchangeUnavailable, RequestRefused
from daemon.collectors.board import FeedBoard
from daemon.collectors.closes import SETTLING, SPREAD, until_close
from daemon.collectors.intake import Intake
from daemon.collectors.outbox import Outbox
from daemon.collectors.rest import RestClient
from daemon.exchanges.base import Exchange, FeedKey, Request

log = structlog.get_logger(__name__)

DEADLINE: Final = 30.0
"""Seconds for one poll."""
LOOK: Final = 1.0
"""Seconds between two looks at the interval, which may be changed meanwhile."""
JITTER: Final = 0.1
"""Part of the interval by which a poll may come earlier or later, so that feeds do not ask in step."""


class Poller:
    """Polls feeds of one exchange, each by a task that its owner runs."""

    def __init__(
        self, exchange: Exchange, rest: RestClient, intake: Intake, board: FeedBoard, outbox: Outbox,
        interval: Callable[[], float], clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        """`interval`: seconds between two polls of a feed, as configured at present."""
        self._exchange = exchange
        self._rest = rest
        self._intake = intake
        self._board = board
        self._outbox = outbox
        self._interval = interval
        self._clock = clock
        self._random = random

    async def run(self, feed: FeedKey) -> None:
        """Poll one feed until cancelled. A poll that fails is tried again at the next interval."""
        while True:
            request = self._exchange.polls(feed)
            if request is not None:
                await self._poll(feed, request)
            await self._pause(feed)

    async def _pause(self, feed: FeedKey) -> None:
        """Wait for the interval, or for the close of the present candle where that comes sooner."""
        began, share = self._clock.monotonic(), self._random.uniform(1 - JITTER, 1 + JITTER)
        close = until_close(feed.timeframe, self._clock.now()) + SETTLING + self._random.uniform(0, SPREAD)
        while (left := began + min(self._interval() * share, close) - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, LOOK))

    async def _poll(self, feed: FeedKey, request: Request) -> None:
        try:
            body = await self._rest.get(request, DEADLINE)
        except (ExchangeUnavailable, RequestRefused) as error:
            log.warning("poll failed", exchange=self._exchange.name, symbol=feed.symbol, reason=str(error))
            self._exchange.failed(request)
            self._board.down([feed], str(error))
            await self._outbox.publish()
            return
        digest = self._intake.answer(request, body, self._rest.url(request))
        if digest.data > 0:
            self._board.answered(feed)
        else:
            self._board.down([feed], "the answer could not be understood; see the dead letters")
        await self._outbox.publish(digest.events)
