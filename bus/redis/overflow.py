"""What does not fit into memory while Redis is away: to the disk, and back in order."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import structlog

from bus import metrics
from bus.clock import Clock
from bus.events import OWN_LOSS, Candle, Event, Feed, MarketEvent, event_type
from bus.redis.append import newest_receipt
from bus.redis.connection import Client
from bus.redis.spool import Segment, Spool
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
        self._reached: dict[str, int] = {}
        """How far each exchange has been read back: the newest receipt (ns), at first that of the first event kept."""
        self._untold = False
        """Whether a file was damaged before any exchange was known."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits here."""
        return self._spool.empty

    async def put(self, events: Sequence[Event]) -> bool:
        """Keep events; False where the disk refuses: a moment later they may belong elsewhere."""
        if self.empty:
            self._reached.clear()
        try:
            self._spool.put(events)
        except OSError as error:
            log.exception("the disk does not take what Redis does not", error=str(error))
            await self._clock.sleep(DISK_PAUSE)
            metrics.PUBLISH_BLOCKED.inc(DISK_PAUSE)
            return False
        for event in events:
            if isinstance(event, MarketEvent):
                self._reached.setdefault(event.exchange, event.recv)
        return True

    async def next(self) -> list[Event]:
        """Return the oldest that wait; what was returned before stands on the bus."""
        self._spool.done()
        said: list[Event] = list(_interruptions(self._spool.dropped()))
        segment = self._spool.take()
        if segment is None:
            return said
        said += self._damage(segment)
        if not segment.inherited:
            return said + segment.events
        return said + [event for event in segment.events if await self._is_new(event)]

    def close(self, unwritten: Sequence[Event]) -> None:
        """Let go; what could not be written waits for the next process, with all that waits here."""
        if unwritten:
            self._spool.put_first(unwritten)
        self._spool.close()

    def _damage(self, segment: Segment) -> list[Feed]:
        """Say that every exchange may miss something where a file could not be read to its end."""
        first: dict[str, int] = {}
        for event in segment.events:
            if isinstance(event, MarketEvent):
                first.setdefault(event.exchange, event.recv)
                self._reached[event.exchange] = event.recv
        said = [report for name, recv in first.items() for report in _damaged(name, recv)] if self._untold else []
        if first:
            self._untold = False
        if segment.damaged:
            said += [report for name, recv in self._reached.items() for report in _damaged(name, recv + 1)]
            self._untold = not self._reached
        return said

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


def _damaged(exchange: str, recv: int) -> tuple[Feed, Feed]:
    reason = f"{OWN_LOSS}a spooled file was damaged"
    return Feed(recv, exchange, "*", "*", "down", reason), Feed(recv, exchange, "*", "*", "live")


def _interruptions(given_up: Iterable[Event]) -> Iterator[Feed]:
    """Say where feeds have a hole because their events were given up."""
    for event in given_up:
        if isinstance(event, MarketEvent):
            channel = f"candle:{event.timeframe}" if isinstance(event, Candle) else event_type(event)
            reason = f"{OWN_LOSS}the spool was full"
            yield Feed(event.recv, event.exchange, event.symbol, channel, "down", reason)
            yield Feed(event.recv, event.exchange, event.symbol, channel, "live")
