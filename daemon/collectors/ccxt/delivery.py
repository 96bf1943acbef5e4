"""One of ccxt's exchanges in use: the tasks that stream and poll its feeds."""

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, Final

import structlog

from bus.clock import Clock
from daemon.collectors.board import FeedBoard
from daemon.collectors.ccxt.catalogue import Way, timeframes, ways
from daemon.collectors.ccxt.errors import said
from daemon.collectors.ccxt.history import CcxtHistory
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.polling import CcxtPoller
from daemon.collectors.ccxt.rest import CcxtRest
from daemon.collectors.ccxt.streaming import Streamer
from daemon.collectors.closes import ClosePoller
from daemon.collectors.gate import Gate
from daemon.collectors.outbox import Outbox
from daemon.collectors.symbols import FeedSettings
from daemon.collectors.tasks import cancel, keep_running
from daemon.exchanges.base import FeedKey

log = structlog.get_logger(__name__)

CLOSE_TIMEOUT: Final = 5.0
"""Seconds for ccxt to close its connections."""


class Delivery:
    """Owns ccxt's exchange and a task for each feed."""

    def __init__(
        self, name: str, exchange: Any, intake: CcxtIntake, board: FeedBoard, outbox: Outbox, gate: Gate,
        closes: ClosePoller, settings: Callable[[], FeedSettings], clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        """`settings`: as configured at present."""
        self._name = name
        self.exchange = exchange
        self._board = board
        self._clock = clock
        self._random = random
        self.ways: Mapping[str, Way] = ways(exchange.has)
        self.timeframes = timeframes(exchange)
        self.rest = CcxtRest(name, exchange, intake)
        self.history = CcxtHistory(name, exchange, self.rest, intake, gate, clock)
        self._streamer = Streamer(name, exchange, intake, board, outbox, gate, clock, random)
        self._poller = CcxtPoller(name, self.rest, intake, board, outbox, lambda: settings().interval, clock, random)
        self._closes = closes
        self._settings = settings
        self._tasks: dict[FeedKey, asyncio.Task[None]] = {}
        self._streaming: set[FeedKey] = set()

    @property
    def feeds(self) -> list[FeedKey]:
        """The feeds that are streamed or polled."""
        return list(self._tasks)

    @property
    def connections(self) -> int:
        """How many WebSocket connections there are."""
        return len(self.exchange.taps)

    def deliver(self, feeds: Iterable[FeedKey]) -> None:
        """Begin to stream or poll feeds."""
        for feed in feeds:
            run = functools.partial(self._run, feed)
            self._tasks[feed] = asyncio.create_task(keep_running(f"feed:{self._name}", run, self._clock, self._random))

    async def drop(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering feeds, without touching the others; a connection that is left without any ends."""
        for feed in feeds:
            await self._stop(feed)
        for tap in self.exchange.taps:
            if tap.idle:
                tap.release()
                self.exchange.give_up(tap, "nobody wants anything of it any more")

    def disconnect(self, reason: str) -> None:
        """End every connection."""
        for tap in self.exchange.taps:
            tap.release()
            self.exchange.give_up(tap, reason)

    async def revive(self) -> int:
        """Subscribe anew to each streamed feed that fell silent. Return how many did.

        Alone where ccxt can unsubscribe; else its connection is given up, but only when nothing else comes on it.
        """
        for tap in self.exchange.taps:
            tap.settle()
        silent = self._board.stale(self._streaming)
        for watch in silent:
            await self._again(watch.key)
        return len(silent)

    async def resync(self, feed: FeedKey) -> None:
        """Have a book begin anew: alone where ccxt can unsubscribe, else with its connection."""
        if feed not in self._streaming or self._streamer.can_unsubscribe(feed):
            await self._restart(feed)
            return
        for tap in self._carrying(feed):
            self.exchange.give_up(tap, f"the book of {feed.symbol} is wrong")

    async def close(self) -> None:
        """End all of it."""
        await cancel(self._tasks.values())
        self._tasks.clear()
        for tap in self.exchange.taps:
            tap.release()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.exchange.close()
        except Exception as error:  # noqa: BLE001 # ccxt's classes raise anything; the process goes on without them
            log.warning("connections not closed in order", exchange=self._name, reason=said(error))

    async def _run(self, feed: FeedKey) -> None:
        if feed.timeframe in self._settings().at_close:
            await self._closes.run(feed)
        if self.ways[feed.channel] == "stream":
            self._streaming.add(feed)
            try:
                await self._streamer.run(feed)
            finally:
                self._streaming.discard(feed)
            log.warning("polling what cannot be streamed", exchange=self._name, channel=feed.channel)
        await self._poller.run(feed)

    async def _stop(self, feed: FeedKey) -> None:
        """Take nothing more for a feed, and unsubscribe from it where that can be done alone."""
        if (task := self._tasks.pop(feed, None)) is not None:
            await cancel([task])
        for tap in self._carrying(feed):
            tap.forget(feed)
            if tap.is_open:
                await self._streamer.unsubscribe(feed)

    async def _again(self, feed: FeedKey) -> None:
        if self._streamer.can_unsubscribe(feed):
            await self._restart(feed)
            return
        for tap in self._carrying(feed):
            if not any(self._board.watches[one].state == "live" for one in self._streaming if tap.carries(one)):
                self.exchange.give_up(tap, "nothing came on this connection for too long")
        self._board.subscribed([feed])

    async def _restart(self, feed: FeedKey) -> None:
        await self._stop(feed)
        self.deliver([feed])

    def _carrying(self, feed: FeedKey) -> list[Any]:
        return [tap for tap in self.exchange.taps if tap.carries(feed)]
