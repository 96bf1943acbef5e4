"""Brings history into the database: in slices, several at a time, only those that are not there yet."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import asyncpg
from pydantic import JsonValue

from bus.clock import Clock
from bus.errors import NotAsked, RequestRefused, StoreUnavailable, UsageError, said
from bus.events import Candle, Event, Trade
from daemon.collectors.interface import Collector
from daemon.exchanges import contiguous
from daemon.exchanges.base import FeedKey, Span
from daemon.history import slices
from daemon.history.arguments import Download
from daemon.history.slices import Slice
from daemon.history.sources import Sources
from daemon.history.stored import Stored
from daemon.history.verify import Check, verify
from daemon.tasks.progress import Progress
from handlers.persistence.writer import Writer

T = TypeVar("T")
CONNECT_TIMEOUT: Final = 10.0


class Downloader:
    """What downloads run with: the database, and whom to ask."""

    def __init__(self, dsn: str, sources: Sources, clock: Clock) -> None:
        self._dsn = dsn
        self._sources = sources
        self._clock = clock

    async def run(self, arguments: Download, progress: Progress) -> JsonValue:
        """Bring what is missing, then check what is there; progress counts slices, and a check for each feed.

        Raises UsageError, ExchangeUnavailable, MalformedFrame, StoreUnavailable.
        """
        start, end = arguments.span(progress.asked)
        async with self._sources.open(arguments.exchange) as collector, self._pool(arguments.jobs) as pool:
            feeds = {feed: slices.last_closed(feed, end, progress.asked) for feed in arguments.feeds()}
            if reasons := [reason for feed in feeds if (reason := collector.why_not(feed))]:
                raise UsageError("; ".join(reasons))
            progress.expect(sum(slices.count(feed, start, until) + 1 for feed, until in feeds.items()))
            stored = Stored(pool, arguments.exchange)
            work = _Work(collector, stored, progress)
            parts = (part for feed, until in feeds.items() for part in slices.slices(feed, start, until))
            await _side_by_side(parts, lambda: Writer(self._dsn, self._clock), work.bring, arguments.jobs)
            checks: list[Check] = []
            for feed, until in feeds.items():
                checks.append(await verify(collector, stored, feed, start, until, work.refused.get(feed)))
                progress.advance()
        return {
            "complete": all(check.complete for check in checks),
            "slices_fetched": work.fetched,
            "slices_stored_before": work.skipped,
            "feeds": [check.plain() for check in checks],
        }

    @asynccontextmanager
    async def _pool(self, jobs: int) -> "AsyncIterator[asyncpg.Pool[Any]]":
        try:
            pool = await asyncpg.create_pool(self._dsn, min_size=0, max_size=jobs, timeout=CONNECT_TIMEOUT)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(f"the database cannot be reached: {said(error)}") from error
        try:
            yield pool
        finally:
            pool.terminate()


class _Work:
    """One download: brings slice after slice, and counts."""

    def __init__(self, collector: Collector, stored: Stored, progress: Progress) -> None:
        self._collector = collector
        self._stored = stored
        self._progress = progress
        self._contiguous = collector.name in contiguous()
        self.fetched = 0
        self.skipped = 0
        self.refused: dict[FeedKey, str] = {}
        """Feeds of which the exchange gives no history, and why."""

    async def bring(self, part: Slice, writer: Writer) -> None:
        """Bring one slice where it is not there."""
        if part.feed not in self.refused:
            missing = await self._missing(part)
            if missing is None:
                self.skipped += 1
                self._progress.skip(1)
                return
            try:
                await self._fetch(part, missing, writer)
            except RequestRefused as error:
                self.refused[part.feed] = str(error)
            else:
                self.fetched += 1
        self._progress.advance()

    async def _missing(self, part: Slice) -> Span | None:
        """Return what of a slice has to be asked for, None when all of it is there."""
        standing = await self._stored.standing(part)
        if standing.known is not None and standing.rows >= standing.known:
            return None
        if not part.feed.timeframe:
            whole = self._contiguous and await self._stored.unbroken(part)
            return None if whole else Span(part.start, part.end - 1)
        if standing.rows >= slices.candles(part.feed.timeframe, part.start, part.end):
            return None
        if not standing.rows:
            return Span(part.start, part.end - 1)
        there = set(await self._stored.candles(part.feed, part.start, part.end))
        opens = slices.openings(part.feed.timeframe, part.start, part.end)
        holes = [opening for opening in opens if opening not in there]
        return Span(holes[0], holes[-1]) if holes else None

    async def _fetch(self, part: Slice, missing: Span, writer: Writer) -> None:
        """Store page after page, and note that the slice was asked for when all of them stand."""
        keys: set[str | int] = set()
        async for page in self._collector.history(part.feed, missing):
            events = list(_wanted(page, missing))
            keys.update(event.open_ts if isinstance(event, Candle) else event.id for event in events)
            if events:
                await writer.write(events, {})
        standing = await self._stored.standing(part)
        if standing.rows < len(keys):
            raise StoreUnavailable(f"of {len(keys)} rows of {part.feed.symbol} only {standing.rows} stand")
        if part.whole:
            await self._stored.remember(part, standing.rows)


def _wanted(page: Iterable[Event], span: Span) -> Iterator[Candle | Trade]:
    """Yield what of a page is to be stored: trades, and candles that will not change any more."""
    for event in page:
        if isinstance(event, Candle):
            if event.closed and span.start <= event.open_ts <= span.end:
                yield event
        elif isinstance(event, Trade) and event.ts is not None and span.start <= event.ts <= span.end:
            yield event


async def _side_by_side(
    parts: Iterator[Slice], make: Callable[[], Writer], work: Callable[[Slice, Writer], Awaitable[None]], jobs: int
) -> None:
    """Work on `jobs` slices at a time, each with a connection to write on; the first error ends all.

    Only what was not asked ends its worker alone: another one may have the request that a half-open breaker lets
    through, and to cancel that one would keep the breaker so for ever.
    """
    left: list[Slice] = []
    workers = jobs

    async def worker() -> None:
        nonlocal workers
        writer = make()
        try:
            while (part := left.pop() if left else next(parts, None)) is not None:
                try:
                    await work(part, writer)
                except NotAsked:
                    if workers == 1:
                        raise
                    left.append(part)
                    return
        finally:
            workers -= 1
            await writer.close()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(worker())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
