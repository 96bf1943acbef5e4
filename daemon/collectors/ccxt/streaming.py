"""Keeps one feed subscribed to through ccxt.pro: calls its watcher, waits until that fails, and calls it again."""

import asyncio
from random import Random
from typing import Any, Final

import structlog

from bus.clock import Clock
from bus.errors import ExchangeUnavailable, MalformedFrame
from daemon.collectors.board import FeedBoard
from daemon.collectors.ccxt.catalogue import CHANNELS, arguments
from daemon.collectors.ccxt.errors import not_streamed, refused, said
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.tap import FEED
from daemon.collectors.gate import Gate
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

LONGEST_PAUSE: Final = 60.0
LONGEST_REFUSED: Final = 600.0
"""Seconds at most between two attempts at what the exchange refuses."""
UNSUBSCRIBE_TIMEOUT: Final = 5.0
_LOOK_AGAIN: Final = 1.0


class Streamer:
    """Streams feeds of one exchange, each by a task that its owner runs."""

    def __init__(
        self, name: str, exchange: Any, intake: CcxtIntake, board: FeedBoard, outbox: Outbox, gate: Gate,
        clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        self._name = name
        self._exchange = exchange
        self._intake = intake
        self._board = board
        self._outbox = outbox
        self._gate = gate
        self._clock = clock
        self._random = random

    async def run(self, feed: FeedKey) -> None:
        """Keep one feed delivered; every interruption is told. Ends only where it turns out not to stream."""
        FEED.set(feed)
        backoff = Backoff(self._random, first=1.0, longest=LONGEST_PAUSE, least=0.1)
        try:
            while True:
                await self._until_open()
                self._board.connecting([feed])
                self._board.subscribed([feed])
                await self._outbox.publish()
                error = await self._watch(feed)
                watch = self._board.watches.get(feed)
                if watch is not None and watch.last is not None:
                    backoff.reset()
                await self._interrupted(feed, error)
                if not_streamed(error) and self._exchange.has.get(CHANNELS[feed.channel].can_fetch):
                    return
                await self._clock.sleep(self._pause(backoff, error))
        finally:
            self._intake.memory.interrupted(feed)

    def can_unsubscribe(self, feed: FeedKey) -> bool:
        """Tell whether ccxt can end this subscription alone."""
        name = CHANNELS[feed.channel].can_watch
        return bool(self._exchange.has.get(f"un{name[0].upper()}{name[1:]}"))

    async def unsubscribe(self, feed: FeedKey) -> None:
        """End a subscription alone where ccxt can."""
        if not self.can_unsubscribe(feed):
            return
        try:
            async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT):
                await getattr(self._exchange, f"un_{CHANNELS[feed.channel].watch}")(*arguments(feed))
        except Exception as error:  # noqa: BLE001 # ccxt's classes raise anything; the next connection is without it
            log.warning("cannot unsubscribe", exchange=self._name, symbol=feed.symbol, reason=said(error))

    async def _watch(self, feed: FeedKey) -> Exception:
        """Watch until that fails, and return why. ccxt's answers, where one gets past the tap, are taken here."""
        method = getattr(self._exchange, CHANNELS[feed.channel].watch)
        try:
            while True:
                if not self._intake.take(feed, await method(*arguments(feed))):
                    return MalformedFrame(f"{self._name}: ccxt gives nothing that {feed.channel} consists of")
                await self._intake.room()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ExchangeUnavailable(f"{self._name}: the connection was ended")  # ccxt cancels its own futures
        except Exception as error:  # noqa: BLE001 # ccxt's classes raise anything
            return error

    async def _interrupted(self, feed: FeedKey, error: Exception) -> None:
        """Tell that a feed is down, after everything that had come before."""
        log.warning(
            "feed interrupted", exchange=self._name, symbol=feed.symbol, channel=feed.channel, reason=said(error)
        )
        self._intake.memory.interrupted(feed)
        if feed.channel == "book" and not any(tap.carries(feed) for tap in self._exchange.taps):
            self._exchange.orderbooks.pop(feed.symbol, None)  # what ccxt has of it ended with the connection
        await self._intake.flush()
        self._board.down([feed], said(error))
        await self._outbox.publish()

    def _pause(self, backoff: Backoff, error: Exception) -> float:
        return backoff.next() if not refused(error) else self._random.uniform(LONGEST_PAUSE, LONGEST_REFUSED)

    async def _until_open(self) -> None:
        while (wait := self._gate.connect_wait()) > 0:
            await self._clock.sleep(min(wait, _LOOK_AGAIN))
