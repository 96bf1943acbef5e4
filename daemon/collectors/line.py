"""Keeps a set of feeds delivered over one connection at a time, and hands over to the next without a hole.

Between two connections after a failure lies a jittered pause that grows until real data has come. A planned change
(before the exchange's daily cut, or when it announces a shutdown) opens the next connection first and closes the old
one when the new one delivers; what both bring is dropped once by the translator.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Final

import structlog

from bus import metrics
from bus.clock import Clock
from bus.events import AnyMarketEvent, Candle, FeedState, event_type
from daemon.collectors.connection import Connection, Ended
from daemon.collectors.watch import FeedWatch
from daemon.exchanges.base import Exchange, FeedKey
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

OVERLAP: Final = 15.0
"""Seconds that the next connection may take to deliver every feed before the old one is closed all the same."""
LIFETIME_SHARE: Final = 0.97
WATCH_INTERVAL: Final = 1.0
STALE_PATIENCE: Final = 3
"""Resubscriptions of a stale feed before the connection itself is doubted."""

Report = Callable[[FeedWatch, FeedState, str], Awaitable[None]]


class _Life:
    """One connection's life: its task, and the feeds that it has not delivered yet."""

    def __init__(self, connection: Connection, feeds: Iterable[FeedKey]) -> None:
        self.connection = connection
        self.missing = set(feeds)
        self.delivers = asyncio.Event()
        self.task = asyncio.create_task(connection.run())

    async def settle(self, seconds: float) -> bool:
        """Wait until it delivers everything, or the time is up, or it has ended; tell whether it lives."""
        waiting = asyncio.create_task(self.delivers.wait())
        try:
            await asyncio.wait({self.task, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return not self.task.done()

    async def stop(self) -> None:
        """End it and wait for its end."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Line:
    """Some feeds of one exchange, the connection that delivers them, and what is known of each feed."""

    def __init__(
        self,
        exchange: Exchange,
        connect: Callable[["Line"], Connection],
        quota: Callable[[], Awaitable[None]],
        report: Report,
        clock: Clock,
        random: Random,
    ) -> None:
        self._exchange = exchange
        self._connect = connect
        self._quota = quota
        self._report = report
        self._clock = clock
        self._backoff = Backoff(random, first=1.0, longest=60.0, least=0.1)
        self._by_event: dict[tuple[str, str, str], FeedWatch] = {}
        self._lives: list[_Life] = []
        self._change = asyncio.Event()
        self.watches: dict[FeedKey, FeedWatch] = {}

    # feeds

    def stream_names(self, feeds: Iterable[FeedKey]) -> list[str]:
        """Return the exchange's names of the streams of some feeds."""
        return [stream for feed in feeds for stream in self._exchange.streams(feed)]

    def add(self, feeds: Iterable[FeedKey]) -> None:
        """Deliver these feeds too; a live connection subscribes to them without touching the others."""
        new = [feed for feed in feeds if feed not in self.watches]
        for feed in new:
            watch = self.watches[feed] = FeedWatch(feed, self._clock)
            self._by_event[feed.symbol, feed.channel, feed.timeframe] = watch
        for life in self._lives:
            life.connection.subscribe(self.stream_names(new))

    def remove(self, feeds: Iterable[FeedKey]) -> list[FeedKey]:
        """Stop delivering these feeds; return those that this line had."""
        gone = [feed for feed in feeds if self.watches.pop(feed, None)]
        for feed in gone:
            self._by_event.pop((feed.symbol, feed.channel, feed.timeframe), None)
        for life in self._lives:
            life.connection.unsubscribe(self.stream_names(gone))
        return gone

    # what frames say

    def delivered(self, connection: Connection, events: Sequence[AnyMarketEvent]) -> None:
        """Note which feeds these events belong to; real data is the only thing that counts as success."""
        now = self._clock.monotonic()
        self._backoff.reset()
        for event in events:
            timeframe = event.timeframe if type(event) is Candle else ""
            watch = self._by_event.get((event.symbol, event_type(event), timeframe))
            if watch is not None:
                watch.data(now)
                newest = self._lives[-1]
                if newest.missing and newest.connection is connection:
                    newest.missing.discard(watch.key)
                    if not newest.missing:
                        newest.delivers.set()

    def change_connection(self) -> None:
        """Open the next connection before this one ends, as the exchange has announced."""
        self._change.set()

    # running

    async def run(self) -> None:
        """Keep the feeds delivered until cancelled."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                await self._live()
        finally:
            watching.cancel()
            await asyncio.gather(watching, *(life.stop() for life in self._lives), return_exceptions=True)
            self._lives.clear()

    async def _begin(self) -> _Life:
        await self._quota()
        life = _Life(self._connect(self), self.watches)
        self._lives.append(life)
        life.connection.subscribe(self.stream_names(self.watches))
        return life

    async def _live(self) -> None:
        """Run one connection, and its successors while they hand over, until one ends unplanned."""
        for watch in self.watches.values():
            await self._report(watch, "connecting", "")
            watch.subscribed()
        life = await self._begin()
        while True:
            await self._until_change(life)
            if life.task.done():
                break
            life = await self._hand_over(life)
        self._lives.remove(life)
        ended = life.task.result()
        metrics.DISCONNECTS.labels(self._exchange.name, "failed").inc()
        self._exchange.lost(list(self.watches), life.connection.number)
        for watch in self.watches.values():
            await self._report(watch, "down", ended.reason)
        wait = self._backoff.next()
        log.warning("connection lost", exchange=self._exchange.name, reason=ended.reason, again_in=round(wait, 2))
        await self._clock.sleep(wait)

    async def _until_change(self, life: _Life) -> None:
        changing = asyncio.create_task(self._change.wait())
        lifetime = asyncio.create_task(self._clock.sleep(self._exchange.limits.lifetime * LIFETIME_SHARE))
        try:
            await asyncio.wait({life.task, changing, lifetime}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()
            lifetime.cancel()
        self._change.clear()

    async def _hand_over(self, old: _Life) -> _Life:
        """Open the next connection, wait until it delivers, close the old one. Return the one that lives on."""
        log.info("changing to a new connection", exchange=self._exchange.name)
        new = await self._begin()
        if not await new.settle(OVERLAP) and not old.task.done():
            self._lives.remove(new)
            log.warning("the next connection failed", exchange=self._exchange.name, reason=new.task.result().reason)
            await self._clock.sleep(self._backoff.next())
            self._change.set()  # and try again
            return old
        self._lives.remove(old)
        await old.stop()
        metrics.DISCONNECTS.labels(self._exchange.name, "planned").inc()
        return new

    # staleness

    async def _watch(self) -> None:
        """Report what is live and what has fallen silent; a silent feed is subscribed to again, alone."""
        rounds: dict[FeedKey, int] = {}
        while True:
            await self._clock.sleep(WATCH_INTERVAL)
            for key, watch in list(self.watches.items()):
                if not self._lives or watch.state == "down":
                    continue
                if watch.is_stale:
                    await self._revive(watch, rounds)
                elif watch.last is not None and watch.state != "live":
                    rounds.pop(key, None)
                    await self._report(watch, "live", "")

    async def _revive(self, watch: FeedWatch, rounds: dict[FeedKey, int]) -> None:
        metrics.STALE.labels(self._exchange.name, watch.key.channel).inc()
        rounds[watch.key] = rounds.get(watch.key, 0) + 1
        await self._report(watch, "stale", f"no data for {watch.age:.0f} s")
        watch.subscribed()
        if rounds[watch.key] > STALE_PATIENCE:
            rounds.clear()
            self.change_connection()
            return
        for life in self._lives:
            streams = self.stream_names([watch.key])
            life.connection.unsubscribe(streams)
            life.connection.subscribe(streams)


__all__ = ["Ended", "Line"]
