"""The subscriber: feeds events to the detectors, keeps their state over restarts, and returns what they find.

What was returned last is saved too, and returned again by the next life unless a further call has shown that it
stands on the bus: a crash between saving and publishing loses no gap.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, TypeAlias, get_args

import msgspec

from bus import metrics, timeframes
from bus.clock import SECOND
from bus.events import Book, Candle, Event, Feed, Gap, MarketEvent, Quality, Trade, event_type
from bus.handler import Batch, Handler, StateStore
from handlers.gaps import wording
from handlers.gaps.books import BookLine
from handlers.gaps.interruptions import Interruption, Interval, sound_time
from handlers.gaps.ranges import Hole, IdLine
from handlers.gaps.stored import Past
from handlers.gaps.wording import Key, Kind

REPORTS_REMEMBERED: Final = 1_000
"""Reports kept for feeds whose first event has not been read yet."""
NOT_A_TRADE: Final = "not_a_trade"
"""Rule of the quality event that says an id was used up by what is no trade, such as an insurance fund's fill."""
_UNSENT: Final = "unsent"
_HOLES: Final = "|holes"
"""Behind the name of a line: what is saved are its holes."""
_DAY: Final = 86_400 * SECOND
_NO_HISTORY: Final = frozenset({"backfill", "derived"})
"""Sources that say nothing about whether a feed delivers."""

Followed: TypeAlias = IdLine | BookLine | Interruption


class GapHandler(Handler):
    """Finds gaps by trade id, book sequence, candle grid, silence and disconnection.

    `contiguous` names the exchanges whose trade ids rise by one; elsewhere a disconnection is itself the gap.
    Open candles, and derived ones, are no history: nothing is missing where they are. `past` is asked where a feed
    stood that no state is kept of.
    """

    name = "gaps"
    pace = 0.05
    system: ClassVar[bool] = True

    def __init__(self, contiguous: frozenset[str], past: Past | None = None) -> None:
        self._contiguous = contiguous
        self._past = past
        self._state: StateStore | None = None
        self._forget()

    def _forget(self) -> None:
        self._lines: dict[Key, IdLine] = {}
        self._books: dict[Key, BookLine] = {}
        self._feeds: dict[Key, Interruption] = {}
        self._reports: deque[Feed] = deque(maxlen=REPORTS_REMEMBERED)
        self._changed: dict[Key, Followed] = {}
        self._recalled: set[Key] = set()
        self._met: set[tuple[str, str, str | type]] = set()
        self._unsent: list[Gap] = []
        self._unsent_saved = False
        self._returned = False

    async def start(self, state: StateStore) -> None:
        """Take up where the last life ended. Raises BusUnavailable."""
        self._forget()
        self._state = state
        saved = await state.load(self.name)
        for name in sorted(saved):  # a line before its holes
            self._restore(name, saved[name])

    def _restore(self, name: str, value: bytes) -> None:
        if name == _UNSENT:
            self._unsent = msgspec.msgpack.decode(value, type=list[Gap])
            self._unsent_saved = bool(self._unsent)
            return
        kind, exchange, symbol, detail = name.removesuffix(_HOLES).split("|")
        for known in get_args(Kind):
            if known == kind:
                key: Key = (known, exchange, symbol, detail)
        if kind == "feed":
            self._feeds[key] = msgspec.msgpack.decode(value, type=Interruption)
        elif kind == "book":
            self._books[key] = msgspec.msgpack.decode(value, type=BookLine)
        elif name.endswith(_HOLES):
            self._lines[key].holes = msgspec.msgpack.decode(value, type=list[Hole])
            self._lines[key].untold = True
        else:
            self._lines[key] = msgspec.msgpack.decode(value, type=IdLine)

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Look at every event; what is found is returned as `gap` events. Raises BusUnavailable, StoreUnavailable."""
        self._begin()
        if self._past is not None:
            await self._recall(self._past, batch.events)
        for event in batch.events:
            if type(event) is Feed:
                self._report(event)
        for event in batch.events:
            if isinstance(event, MarketEvent):
                self._look(event)
            elif type(event) is Quality and event.rule == NOT_A_TRADE:
                self._used_up(event)
        for key, followed in list(self._changed.items()):
            if type(followed) is IdLine and followed.untold:
                self._tell(key, followed, followed.ripe())
        return await self._done()

    async def close(self) -> None:
        """Let go of the past's connection."""
        if self._past is not None:
            await self._past.close()

    async def tick(self, now: int) -> Sequence[Event]:
        """Tell the holes that nothing has filled while their feed was quiet. Raises BusUnavailable."""
        self._begin()
        for key, line in self._lines.items():
            if line.untold:
                self._tell(key, line, line.overdue(now))
        return await self._done()

    def _begin(self) -> None:
        """Let go of what the last call returned: it has been published, or there would be no further call."""
        if self._returned:
            self._unsent.clear()
        self._returned = False

    async def _done(self) -> list[Gap]:
        """Keep what has changed before the batch counts as handled: coming again, it changes nothing."""
        changes: dict[str, bytes] = {}
        for key, followed in self._changed.items():
            name = "|".join(key)
            if type(followed) is not IdLine:
                changes[name] = msgspec.msgpack.encode(followed)
                continue
            changes[name] = msgspec.msgpack.encode({"last": followed.last, "ts": followed.ts, "recv": followed.recv})
            if followed.unsaved:  # of their own, since there can be a thousand
                changes[name + _HOLES] = msgspec.msgpack.encode(followed.holes) if followed.holes else b""
        if self._unsent or self._unsent_saved:
            changes[_UNSENT] = msgspec.msgpack.encode(self._unsent)
        if changes and self._state is not None:
            await self._state.save(self.name, changes)
        for followed in self._changed.values():
            if type(followed) is IdLine:
                followed.unsaved = False
        self._changed.clear()
        self._unsent_saved = bool(self._unsent)
        self._returned = True
        return list(self._unsent)

    async def _recall(self, past: Past, events: Iterable[Event]) -> None:
        """Take up the stored past of feeds that no state is kept of: their first event shows what is missing."""
        met = {
            (event.exchange, event.symbol, event.timeframe if type(event) is Candle else type(event))
            for event in events
            if isinstance(event, MarketEvent)
        }
        if met <= self._met:
            return
        for event in events:
            if isinstance(event, MarketEvent) and event.source not in _NO_HISTORY:
                await self._recall_one(past, self._key(event), event.recv)
        self._met |= met

    async def _recall_one(self, past: Past, key: Key, recv: int) -> None:
        if key in self._lines or key in self._books or key in self._feeds or key in self._recalled:
            return
        match await past.before(key, recv):
            case IdLine() as line:
                self._lines[key] = line
            case BookLine() as book:
                self._books[key] = book
            case Interruption() as feed:
                self._feeds[key] = feed
        self._recalled.add(key)

    def _key(self, event: MarketEvent) -> Key:
        """Return what an event is followed as."""
        if type(event) is Trade and event.exchange in self._contiguous and event.id.isdecimal():
            return "trade", event.exchange, event.symbol, ""
        if type(event) is Candle:
            return "candle", event.exchange, event.symbol, event.timeframe
        if type(event) is Book and event.last_id is not None:
            return "book", event.exchange, event.symbol, ""
        return "feed", event.exchange, event.symbol, event_type(event)

    def _look(self, event: MarketEvent) -> None:
        key = self._key(event)
        if key[0] == "trade" and type(event) is Trade:
            self._number(key, event, int(event.id), _time(event))
        elif type(event) is Candle:
            number = timeframes.number(event.timeframe, event.open_ts)
            if event.closed and event.source != "derived" and number is not None:
                self._number(key, event, number, event.open_ts)
        elif key[0] == "book" and type(event) is Book and event.last_id is not None:
            self._follow(key, event, event.last_id)
        elif event.source not in _NO_HISTORY:
            self._deliver(key, event)

    def _used_up(self, remark: Quality) -> None:
        """Note an id that no trade has: nothing is missing there."""
        key: Key = ("trade", remark.exchange, remark.symbol, "")
        line = self._lines.get(key)
        if line is not None and remark.event_ref.isdecimal():
            hole = line.take(int(remark.event_ref), remark.ts, line.recv)
            if hole is not None:
                self._unsent.append(wording.hole(key, hole, max(remark.ts, hole.found), "filled"))
            self._changed[key] = line

    def _number(self, key: Key, event: MarketEvent, number: int, ts: int) -> None:
        """Follow contiguous numbers: trade ids, or candles counted on the calendar."""
        line = self._lines.get(key)
        if line is None or line.counts_anew(number, ts):
            if line is not None:
                self._tell(key, line, line.close())
            line = self._lines[key] = IdLine(number, ts, event.recv, unsaved=True)
        else:
            hole = line.take(number, ts, event.recv, healing=event.source == "backfill")
            if hole is not None:
                self._unsent.append(wording.hole(key, hole, max(event.recv, hole.found), "filled"))
        self._changed[key] = line

    def _tell(self, key: Key, line: IdLine, holes: Iterable[Hole]) -> None:
        for hole in holes:
            self._changed[key] = line
            self._found(wording.hole(key, hole, hole.found, "open"))

    def _follow(self, key: Key, book: Book, number: int) -> None:
        ts = _time(book)
        line = self._books.get(key)
        if line is None:
            line = self._books[key] = BookLine(number, ts, book.kind == "delta")
        else:
            missing = line.take(book, number, ts)
            if missing is not None:
                self._found(wording.book(key, missing, book.recv))
        self._changed[key] = line

    def _report(self, feed: Feed) -> None:
        """Take a report to every feed that it is about."""
        self._reports.append(feed)
        for key, interruption in self._feeds.items():
            if _concerns(feed, key):
                self._interrupted(key, interruption.report(feed), feed.ts)
                self._changed[key] = interruption

    def _deliver(self, key: Key, event: MarketEvent) -> None:
        interruption = self._feeds.get(key)
        if interruption is None:
            interruption = self._feeds[key] = Interruption(sound_time(event.ts, event.recv), event.recv)
            for report in self._reports:
                if report.ts > event.recv and _concerns(report, key):
                    interruption.report(report)
        else:
            self._interrupted(key, interruption.take(event), event.recv)
        self._changed[key] = interruption

    def _interrupted(self, key: Key, interval: Interval | None, ts: int) -> None:
        if interval is not None:
            self._found(wording.interruption(key, interval, ts))

    def _found(self, gap: Gap) -> None:
        metrics.GAPS.labels(gap.exchange, gap.channel).inc()
        self._unsent.append(gap)


def _concerns(report: Feed, key: Key) -> bool:
    """Whether a report is about a feed; `*` means all symbols of the exchange."""
    _, exchange, symbol, channel = key
    return exchange == report.exchange and report.channel in (channel, "*") and report.symbol in (symbol, "*")


def _time(event: MarketEvent) -> int:
    """Return when an event with a number was: after an outage live ones may be hours old, and history is."""
    if event.ts is not None and event.source in _NO_HISTORY:
        return event.ts
    return sound_time(event.ts, event.recv, _DAY)
