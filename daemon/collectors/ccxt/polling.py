"""Asks again and again for what ccxt cannot stream for an exchange."""

import asyncio
from collections.abc import Callable
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

OFTENER: Final = 6
"""How many times in an interval trades, tickers, books and candles are asked for; the others change slowly."""
LOOK: Final = 1.0
"""Seconds between two looks at the interval, which may be changed meanwhile."""
JITTER: Final = 0.1
LONGEST: Final = 600.0
"""Seconds at most between two polls of what the exchange refuses."""
AT_ONCE: Final = 4
"""Polls under way at once; the others wait here, however long, and not in the limiter, which would refuse them."""
_LAST: Final = {"candle": (None, 5)}
"""Arguments beyond the feed's own: the newest five candles."""
_FAST: Final = frozenset({"trade", "ticker", "book", "candle"})


class CcxtPoller:
    """Polls feeds of one exchange, each by a task that its owner runs."""

    def __init__(
        self, name: str, rest: CcxtRest, intake: CcxtIntake, board: FeedBoard, outbox: Outbox,
        interval: Callable[[], float], clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        """`interval`: seconds between two polls of what changes slowly, as configured at present."""
        self._name = name
        self._rest = rest
        self._intake = intake
        self._board = board
        self._outbox = outbox
        self._interval = interval
        self._clock = clock
        self._random = random
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self, feed: FeedKey) -> None:
        """Poll one feed until cancelled. What fails is tried again at the next interval: the breaker holds it back."""
        refusals = 0
        try:
            while True:
                try:
                    async with self._turns:
                        await self._poll(feed)
                    refusals = 0
                except (ExchangeUnavailable, MalformedFrame) as error:
                    await self._down(feed, str(error))
                    refusals = 0
                except RequestRefused as error:
                    await self._down(feed, str(error))
                    refusals += 1
                await self._pause(feed, refusals, self._random.uniform(1 - JITTER, 1 + JITTER))
        finally:
            self._intake.memory.interrupted(feed)

    async def _pause(self, feed: FeedKey, refusals: int, share: float) -> None:
        """Wait for the next poll of a feed; twice as long after each refusal in a row."""
        began = self._clock.monotonic()
        while (left := began + self._wait(feed, refusals) * share - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, LOOK))

    def _wait(self, feed: FeedKey, refusals: int) -> float:
        interval = self._interval() / (OFTENER if feed.channel in _FAST else 1)
        return max(interval, min(interval * 2.0 ** min(refusals, 10), LONGEST))

    async def _poll(self, feed: FeedKey) -> None:
        """Ask once. Raises ExchangeUnavailable, RequestRefused, MalformedFrame."""
        method = CHANNELS[feed.channel].fetch
        answer = await self._rest.call(method, *arguments(feed), *_LAST.get(feed.channel, ()))
        if feed.channel == "trade" and self._has_hole(feed, answer):
            await self._down(feed, "more trades between two polls than the exchange's answer holds")
        if feed.channel != "candle":
            self._intake.memory.interrupted(feed)  # an answer is a whole book; equal trades are counted in it
        self._rest.noted(method)
        parts, before = len(answer) if isinstance(answer, list) else 1, self._intake.failures
        understood = self._intake.take(feed, answer)
        if not understood:
            self._intake.failed("nothing that this channel consists of")
        if not understood or 0 < parts <= self._intake.failures - before:
            raise MalformedFrame("the answer could not be understood; see the dead letters")
        await self._intake.flush()
        self._board.answered(feed)
        await self._outbox.publish()

    def _has_hole(self, feed: FeedKey, trades: Any) -> bool:
        """Tell whether trades may have happened between the last answer and this one: they do not overlap."""
        memory = self._intake.memory.trades(feed.symbol)
        if not trades or not len(memory):
            return False
        names = TradeMemory()
        return not any(memory.knows(str(trade.get("id") or names.name(trade))) for trade in trades)

    async def _down(self, feed: FeedKey, reason: str) -> None:
        await self._intake.flush()
        watch = self._board.watches.get(feed)
        if watch is not None and watch.state != "down":
            log.warning(
                "feed interrupted", exchange=self._name, symbol=feed.symbol, channel=feed.channel, reason=reason
            )
        self._board.down([feed], reason)
        await self._outbox.publish()
