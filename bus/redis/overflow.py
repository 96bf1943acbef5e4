"""What does not fit into memory while Redis is away: to the disk, and back in order."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import structlog

from bus import metrics
from bus.clock import Clock
from bus.events import Candle, Event, Feed, MarketEvent, event_type
from bus.redis.append import newest_receipt
from bus.redis.connection import Client
from bus.redis.spool import Spool
from bus.streams import StreamNames

log = structlog.get_logger(__name__)

DISK_PAUSE: Final = 1.0
"""Seconds between two attempts to write to a disk that refuses."""


class Overflow:
    """The disk behind a publisher's queue. While anything waits here, everything newer goes here too."""

    def __init__(self, spool: Spool, client: Client, names: StreamNames, clock: Clock) -> None:
        self._spool = spool
        self._client = client
        self._names = names
        self._clock = clock
        self._newest: dict[str, int] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing waits here."""
        return self._spool.empty

    async def put(self, events: Sequence[Event]) -> bool:
        """Keep events; False where the disk refuses: a moment later they may belong elsewhere."""
        try:
            self._spool.put(events)
        except OSError as error:
            log.exception("the disk does not take what Redis does not", error=str(error))
            await self._clock.sleep(DISK_PAUSE)
            metrics.PUBLISH_BLOCKED.inc(DISK_PAUSE)
            return False
        return True

    async def next(self) -> list[Event]:
        """Return the oldest that wait; what was returned before stands on the bus."""
        self._spool.done()
        said: list[Event] = list(_interruptions(self._spool.dropped()))
        segment = self._spool.take()
        if segment is None:
            return said
        if not segment.inherited:
            return said + segment.events
        return said + [event for event in segment.events if await self._is_new(event)]

    def close(self, unwritten: Sequence[Event]) -> None:
        """Let go; what could not be written waits for the next process, with all that waits here."""
        if unwritten:
            self._spool.put_first(unwritten)
        self._spool.close()

    async def _is_new(self, event: Event) -> bool:
        """Whether an event that an earlier process spooled stands on its stream not yet: receive times only rise."""
        if not isinstance(event, MarketEvent):
            return True  # a repetition of these does no harm
        stream = self._names.of(event)
        if stream not in self._newest:
            self._newest[stream] = await newest_receipt(self._client, stream)
        if event.recv <= self._newest[stream]:
            return False
        self._newest[stream] = event.recv
        return True


def _interruptions(given_up: Iterable[Event]) -> Iterator[Feed]:
    """Say where feeds have a hole because their events were given up."""
    for event in given_up:
        if isinstance(event, MarketEvent):
            channel = f"candle:{event.timeframe}" if isinstance(event, Candle) else event_type(event)
            reason = "given up while Redis was away: the spool was full"
            yield Feed(event.recv, event.exchange, event.symbol, channel, "down", reason)
            yield Feed(event.recv, event.exchange, event.symbol, channel, "live")
