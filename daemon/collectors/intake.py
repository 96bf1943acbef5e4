"""Where an exchange's bytes become events: stamps, translates, and sets aside what cannot be translated."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import MalformedFrame
from bus.events import Dead, Event, Feed
from daemon.collectors.board import FeedBoard
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import Exchange, FeedKey, Notice, Page, Request, Translated

log = structlog.get_logger(__name__)

PAYLOAD_KEPT: Final = 64 * 1024
"""Bytes of a malformed frame that are kept as a dead letter."""


def public_url(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Digest(msgspec.Struct):
    """What some frames said: events for the bus, how many frames were data, which feeds they belong to."""

    events: list[Event]
    data: int
    feeds: set[FeedKey]
    notices: list[Notice]


class Intake:
    """The one place of an exchange's collector that calls its translator with data."""

    def __init__(self, exchange: Exchange, board: FeedBoard, outbox: Outbox, clock: Clock) -> None:
        self._exchange = exchange
        self._board = board
        self._outbox = outbox
        self._clock = clock
        self._last = 0
        self._resyncs = 0
        self._frames = metrics.FRAMES_RECEIVED.labels(exchange.name, "ws")
        self._answers = metrics.FRAMES_RECEIVED.labels(exchange.name, "rest")

    def frames(self, frames: Sequence[bytes], origin: str, connection: int) -> Digest:
        """Translate frames that were received together. One that cannot be translated costs itself alone."""
        parse = self._exchange.parse
        recv = self._stamp(len(frames))
        events: list[Translated] = []
        dead: list[Event] = []
        for frame in frames:
            try:
                events += parse(frame, recv, connection)
            except Exception as error:  # a translator's fault must not end the connection
                reason = str(error)
                if not isinstance(error, MalformedFrame):
                    log.exception("the translator failed on a frame", exchange=self._exchange.name)
                    reason = f"translator failed: {error!r}"
                dead.append(self._letter(recv, origin, reason, frame))
                self._tear(frame, recv, connection)
            recv += 1
        self._frames.inc(len(frames))
        return self._digest(events, dead, len(frames) - len(dead))

    def _tear(self, frame: bytes, recv: int, connection: int) -> None:
        """Say that something is missing where nothing but the unreadable frame itself shows it."""
        feeds = self._exchange.torn(frame, connection)
        if feeds is None:
            feeds = [feed for feed in self._board.watches if feed.channel == "trade"]
        for feed in feeds:
            said = Feed(recv, self._exchange.name, feed.symbol, feed.channel, "down", "a message could not be read")
            self._outbox.say(said)
            self._outbox.say(msgspec.structs.replace(said, state="live", reason=""))

    def answer(self, request: Request, body: bytes, origin: str) -> Digest:
        """Translate the answer to a request. `data` is 0 when that was not possible."""
        recv = self._stamp(1)
        self._answers.inc()
        try:
            return self._digest(self._exchange.answer(request, body, recv), [], 1)
        except MalformedFrame as error:
            reason = str(error)
        except Exception as error:  # as above
            log.exception("the translator failed on an answer", exchange=self._exchange.name, path=request.path)
            reason = f"translator failed: {error!r}"
        return self._digest([], [self._letter(recv, origin, reason, body)], 0)

    def page(self, request: Request, body: bytes, origin: str) -> Page:
        """Translate a page of history. Raises MalformedFrame; what cannot be read is kept as a dead letter too."""
        recv = self._stamp(1)
        self._answers.inc()
        try:
            return self._exchange.page(request, body, recv)
        except MalformedFrame as error:
            self._outbox.say(self._letter(recv, origin, str(error), body))
            raise

    def volumes(self, request: Request, body: bytes, origin: str) -> Mapping[str, Decimal]:
        """Translate an answer about volumes. Raises MalformedFrame, as `page`."""
        self._answers.inc()
        try:
            return self._exchange.volumes(request, body)
        except MalformedFrame as error:
            self._outbox.say(self._letter(self._stamp(1), origin, str(error), body))
            raise

    def oversized(self, origin: str, reason: str) -> Event:
        """Return the dead letter of a frame that was too big to be received."""
        return self._letter(self._stamp(1), origin, reason, b"")

    def _stamp(self, count: int) -> int:
        """Return the first of `count` receive times, strictly rising per exchange: they identify events."""
        first = max(self._last + 1, self._clock.now())
        self._last = first + count - 1
        return first

    def _digest(self, events: list[Translated], dead: list[Event], data: int) -> Digest:
        if self._exchange.bundled and events:
            bundled, wants = self._exchange.bundled, self._board.wants
            events = [event for event in events if event.__class__ not in bundled or wants(event)]
        feeds = self._board.seen(events) if events else set()
        notices = self._notices()
        self._count()
        return Digest([*events, *dead], data - len(notices), feeds, notices)

    def _notices(self) -> list[Notice]:
        if not self._exchange.notices:
            return []
        notices = list(self._exchange.notices)
        self._exchange.notices.clear()
        for notice in notices:
            if notice.kind == "control":
                metrics.FRAMES_CONTROL.labels(self._exchange.name).inc()
            elif notice.kind == "unknown":
                metrics.FRAMES_UNKNOWN.labels(self._exchange.name).inc()
        return notices

    def _count(self) -> None:
        """Turn what the translator has counted into metrics."""
        exchange = self._exchange
        if exchange.duplicates:
            for channel, count in exchange.duplicates.items():
                metrics.DUPLICATES.labels(exchange.name, channel).inc(count)
            exchange.duplicates.clear()
        if exchange.resyncs != self._resyncs:
            metrics.RESYNCS.labels(exchange.name).inc(exchange.resyncs - self._resyncs)
            self._resyncs = exchange.resyncs

    def _letter(self, recv: int, origin: str, reason: str, frame: bytes) -> Dead:
        metrics.FRAMES_MALFORMED.labels(self._exchange.name).inc()
        metrics.DEAD.labels("parse").inc()
        name = f"parse:{self._exchange.name}:{recv}"
        return Dead(recv, name, public_url(origin), "parse", reason, frame[:PAYLOAD_KEPT])
