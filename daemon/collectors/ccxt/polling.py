"""Asks again and again for what ccxt cannot stream for an exchange."""

from random import Random
from typing import Any, Final

import structlog

from bus.clock import Clock
from bus.errors import ExchangeUnavailable, MalformedFrame, RequestRefused
from daemon.collectors.board import FeedBoard
from daemon.collectors.ccxt.catalogue import CHANNELS, arguments
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.memory import TradeMemory
from daemon.collectors.ccxt.rest import CcxtRest
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey

log = structlog.get_logger(__name__)

INTERVAL: Final = 5.0
"""Seconds between two polls of trades, tickers, books and candles; the request limits may make it more."""
SLOW: Final = 30.0
"""Seconds between two polls of what changes slowly."""
JITTER: Final = 0.1
LONGEST: Final = 300.0
"""Seconds at most between two polls while the exchange refuses or fails."""
_LAST: Final = {"candle": (None, 5)}
"""Arguments beyond the feed's own: the newest five candles."""
_FAST: Final = frozenset({"trade", "ticker", "book", "candle"})


class CcxtPoller:
    """Polls feeds of one exchange, each by a task that its owner runs."""

    def __init__(
        self, name: str, rest: CcxtRest, intake: CcxtIntake, board: FeedBoard, outbox: Outbox,
        clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        self._name = name
        self._rest = rest
        self._intake = intake
        self._board = board
        self._outbox = outbox
        self._clock = clock
        self._random = random

    async def run(self, feed: FeedKey) -> None:
        """Poll one feed until cancelled. A poll that fails is tried again, each time later."""
        interval = INTERVAL if feed.channel in _FAST else SLOW
        pause = interval
        try:
            while True:
                pause = interval if await self._poll(feed) else min(2 * pause, LONGEST)
                await self._clock.sleep(pause * self._random.uniform(1 - JITTER, 1 + JITTER))
        finally:
            self._intake.memory.interrupted(feed)

    async def _poll(self, feed: FeedKey) -> bool:
        method = CHANNELS[feed.channel].fetch
        try:
            answer = await self._rest.call(method, *arguments(feed), *_LAST.get(feed.channel, ()))
        except (ExchangeUnavailable, RequestRefused, MalformedFrame) as error:
            log.warning("poll failed", exchange=self._name, symbol=feed.symbol, channel=feed.channel, reason=str(error))
            await self._down(feed, str(error))
            return False
        if feed.channel == "trade" and self._has_hole(feed, answer):
            await self._down(feed, "more trades between two polls than the exchange's answer holds")
        if feed.channel != "candle":
            self._intake.memory.interrupted(feed)  # an answer is a whole book; equal trades are counted in it
        self._rest.noted(method)
        if not self._intake.take(feed, answer):
            self._intake.failed("nothing that this channel consists of")
            await self._down(feed, "the answer could not be understood; see the dead letters")
            return False
        await self._intake.flush()
        self._board.answered(feed)
        await self._outbox.publish()
        return True

    def _has_hole(self, feed: FeedKey, trades: Any) -> bool:
        """Tell whether trades may have happened between the last answer and this one: they do not overlap."""
        memory = self._intake.memory.trades(feed.symbol)
        if not trades or not len(memory):
            return False
        names = TradeMemory()
        return not any(memory.knows(str(trade.get("id") or names.name(trade))) for trade in trades)

    async def _down(self, feed: FeedKey, reason: str) -> None:
        await self._intake.flush()
        self._board.down([feed], reason)
        await self._outbox.publish()
