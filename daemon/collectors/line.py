"""Keeps a set of feeds delivered over one connection at a time, and hands over to the next without a hole.

Between two connections after a failure lies a jittered pause that grows until real data has come. A planned change
(before the exchange's daily cut, or when it announces a shutdown) opens the next connection first and closes the old
one when the new one delivers; what both bring is dropped once by the translator.
"""

import asyncio
from collections.abc import Iterable, Iterator
from random import Random

import structlog

from bus import metrics
from bus.errors import ExchangeUnavailable
from daemon.collectors.connection import Connection, Ended, Surroundings
from daemon.collectors.dialler import Dialler
from daemon.collectors.tasks import cancel, first_of
from daemon.exchanges.base import FeedKey
from daemon.resilience.backoff import Backoff
from daemon.resilience.breaker import Permit

log = structlog.get_logger(__name__)


class _Life:
    """One connection's life: the task that runs it, and the verdict that the breaker is owed."""

    def __init__(self, connection: Connection, permit: Permit) -> None:
        self.connection = connection
        self.permit = permit
        self.task = asyncio.create_task(connection.run())


class Line:
    """Some feeds of one exchange and the connection that delivers them; two while one hands over to the next."""

    def __init__(
        self, url: str, around: Surroundings, dialler: Dialler, numbers: Iterator[int], random: Random
    ) -> None:
        self.url = url
        self._around = around
        self._dialler = dialler
        self._numbers = numbers
        self._backoff = Backoff(random, first=1.0, longest=60.0, least=0.1)
        self._tried = False
        self._lives: list[_Life] = []
        self.feeds: dict[FeedKey, list[str]] = {}
        """The feeds that it delivers, and the exchange's streams that make them up."""

    @property
    def streams(self) -> int:
        """How many of the exchange's streams it carries."""
        return sum(map(len, self.feeds.values()))

    @property
    def connections(self) -> int:
        """How many connections are open: 1, 2 during a hand-over, 0 while there is none."""
        return len(self._lives)

    def add(self, feeds: Iterable[FeedKey]) -> None:
        """Deliver these feeds too; open connections subscribe to them without touching the others."""
        new = [feed for feed in feeds if feed not in self.feeds]
        for feed in new:
            self.feeds[feed] = list(self._around.exchange.streams(feed))
        for life in self._lives:
            life.connection.add(new)

    def remove(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering those of these feeds that it has."""
        gone = {feed: self.feeds.pop(feed) for feed in feeds if feed in self.feeds}
        if not gone:
            return
        kept = {stream for streams in self.feeds.values() for stream in streams}
        streams = [stream for names in gone.values() for stream in names if stream not in kept]
        for life in self._lives:
            life.connection.remove(list(gone), streams)

    def again(self, feed: FeedKey) -> None:
        """Subscribe to a feed anew, if it is one of its own; the others are not touched."""
        if feed in self.feeds and self._lives:
            self._lives[-1].connection.again([feed])

    def revive(self) -> int:
        """Subscribe anew to the feeds that fell silent: the others are not touched. Return how many did."""
        silent = self._around.board.stale(self.feeds)
        if self._lives:
            self._lives[-1].connection.again([watch.key for watch in silent])
        return len(silent)

    async def run(self) -> None:
        """Keep the feeds delivered until cancelled."""
        try:
            life = await self._establish()
            while True:
                life = await self._next(life)
        finally:
            await cancel(life.task for life in self._lives)
            for life in list(self._lives):
                self._forget(life, "stopped", "stopped")

    async def _establish(self, *, settled: bool = False) -> _Life:
        """Open a connection, trying again with back-off until it works; with `settled`, until it delivers."""
        while True:
            if self._tried:
                await self._around.clock.sleep(self._backoff.next())
            self._tried = True
            try:
                life = await self._open()
            except ExchangeUnavailable as error:
                log.warning("no connection", exchange=self._around.exchange.name, reason=str(error))
                if not self._lives:
                    self._around.board.down(self.feeds, str(error))
                    await self._around.outbox.publish()
                continue
            if not settled:
                return life
            await first_of(life.task, life.connection.settled)
            if not life.task.done():
                return life
            await self._ended(life)

    async def _open(self) -> _Life:
        socket, permit = await self._dialler.dial(self.url)

        def on_data() -> None:
            permit.succeed()
            self._backoff.reset()

        number = next(self._numbers)
        self._around.exchange.connected(number, self.url)
        connection = Connection(number, socket, self.url, list(self.feeds), self._around, on_data)
        life = _Life(connection, permit)
        self._lives.append(life)
        self._around.board.connecting(self.feeds)
        await self._around.outbox.publish()
        return life

    async def _next(self, life: _Life) -> _Life:
        """Wait until this connection ends or will end soon; return the one that takes its place."""
        await first_of(life.task, life.connection.expiring)
        if life.task.done():
            await self._ended(life)
            return await self._establish()
        log.info("changing to a new connection", exchange=self._around.exchange.name)
        establishing = asyncio.create_task(self._establish(settled=True))
        try:
            await first_of(life.task, establishing)
            if not establishing.done():
                await self._ended(life)  # too early: what the new one does not deliver yet, nobody does
                return await establishing
            await life.connection.retire()
            await asyncio.gather(life.task, return_exceptions=True)
            self._forget(life, "replaced by a new connection", "planned")
            return establishing.result()
        finally:
            await cancel([establishing])

    async def _ended(self, life: _Life) -> None:
        """Take note of a connection that ended unplanned. Raises what it crashed with."""
        crash = life.task.exception()
        ended = Ended("broken", f"crashed: {crash!r}") if crash else life.task.result()
        life.permit.fail(ended.reason)  # counts only when no data had come
        log.warning("connection lost", exchange=self._around.exchange.name, reason=ended.reason)
        self._forget(life, ended.reason, ended.kind)
        await self._around.outbox.publish()
        if crash:
            raise crash

    def _forget(self, life: _Life, reason: str, kind: str) -> None:
        """Strike a connection off; the feeds that no other one delivers are down."""
        life.permit.release()
        self._lives.remove(life)
        orphans = [feed for feed in self.feeds if not any(other.connection.covers(feed) for other in self._lives)]
        metrics.DISCONNECTS.labels(self._around.exchange.name, kind).inc()
        self._around.exchange.lost(orphans, life.connection.number)
        self._around.board.down(orphans, reason)
