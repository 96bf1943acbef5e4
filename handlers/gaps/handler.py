"""The subscriber: feeds events to the detectors, keeps their state over restarts, and words what they find as gaps.

What it returned last is kept with the state and returned again by the next life: a crash between saving and
publishing loses no gap, and a gap that was published twice is one gap, by its id.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final, TypeVar

import msgspec

from bus import metrics
from bus.clock import SECOND
from bus.events import Book, Candle, Event, Feed, Gap, GapState, MarketEvent, Trade, event_type
from bus.handler import Batch, Handler, StateStore
from handlers.gaps.interruptions import Interruption
from handlers.gaps.ranges import Hole, IdLine

S = TypeVar("S", IdLine, Interruption)

GRACE: Final = 2 * SECOND
"""Ids that come a little late are no gap: a hole is told when it is still there after this time."""
RESTARTED: Final = 60 * SECOND
"""An id below all others, this much later, is the exchange counting anew."""
HOLES_KEPT: Final = 1_000
RETURNED: Final = "returned"

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FIRST_MONDAY: Final = 4 * 86_400
"""Weeks begin on Mondays; the epoch was a Thursday."""


class GapHandler(Handler):
    """Finds gaps by trade id, book sequence, candle grid, silence and disconnection.

    `contiguous` names the exchanges whose trade ids rise by one; elsewhere a disconnection is itself the gap.
    """

    name: ClassVar[str] = "gaps"
    system: ClassVar[bool] = True

    def __init__(self, contiguous: frozenset[str] = frozenset({"binance", "simulated"})) -> None:
        self._contiguous = contiguous
        self._lines: dict[str, IdLine] = {}
        self._interruptions: dict[str, Interruption] = {}
        self._changed: set[str] = set()
        self._state: StateStore | None = None
        self._recv = 0
        self._again: list[Gap] = []
        """What the last life returned and may not have published."""
        self._returned: list[Gap] = []

    async def start(self, state: StateStore) -> None:
        """Take up where the last life ended. Raises BusUnavailable."""
        self._state = state
        self._lines.clear()
        self._interruptions.clear()
        for key, value in (await state.load(self.name)).items():
            if key == RETURNED:
                self._again = self._returned = msgspec.msgpack.decode(value, type=list[Gap])
            elif key.startswith("feed|"):
                self._interruptions[key] = msgspec.msgpack.decode(value, type=Interruption)
            else:
                self._lines[key] = msgspec.msgpack.decode(value, type=IdLine)

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Look at every event; what is found is returned as `gap` events. Raises BusUnavailable."""
        gaps = self._take_again()
        for event in batch.events:
            if isinstance(event, MarketEvent):
                self._recv = max(self._recv, event.recv)
                gaps += self._look(event)
            elif type(event) is Feed:
                self._report(event)
        gaps += self._ripe(self._recv)
        await self._save(gaps)
        return gaps

    async def tick(self, now: int) -> Sequence[Event]:
        """Tell the holes that nothing has filled while nothing came."""
        gaps = [*self._take_again(), *self._ripe(now)]
        await self._save(gaps)
        return gaps

    def _take_again(self) -> list[Gap]:
        again, self._again = self._again, []
        return list(again)

    async def _save(self, gaps: list[Gap]) -> None:
        """Keep what has changed before the batch counts as handled: coming again, it changes nothing."""
        changes = {}
        for key in self._changed:
            kept = self._interruptions[key] if key.startswith("feed|") else self._lines[key]
            changes[key] = msgspec.msgpack.encode(kept)
        if gaps or self._returned:
            changes[RETURNED] = msgspec.msgpack.encode(gaps)
            self._returned = gaps
        if changes and self._state is not None:
            await self._state.save(self.name, changes)
        self._changed.clear()

    def _look(self, event: MarketEvent) -> list[Gap]:
        if type(event) is Trade and event.exchange in self._contiguous and event.id.isdecimal():
            return self._numbered(event, "trade", "", int(event.id))
        if type(event) is Candle:
            return self._numbered(event, "candle", event.timeframe, _index(event)) if event.closed else []
        if type(event) is Book and event.last_id is not None:
            return self._book(event)
        return self._interruption(event)

    # contiguous numbers: trade ids, and candles counted since the epoch

    def _numbered(self, event: MarketEvent, channel: str, timeframe: str, number: int) -> list[Gap]:
        key = f"{channel}|{event.exchange}|{event.symbol}|{timeframe}"
        ts = event.open_ts if type(event) is Candle else event.recv if event.ts is None else event.ts
        line = self._lines.get(key)
        self._changed.add(key)
        if line is None or (number < line.last and ts > line.ts + RESTARTED):
            self._lines[key] = IdLine(number, ts)
            return []
        changed = line.take(number, ts, event.recv)
        del line.holes[:-HOLES_KEPT]
        return [
            self._gap(key, hole, event.recv, "filled", "it came late, or in parts; what is left is a gap of its own")
            for hole in changed
        ]

    def _ripe(self, now: int) -> list[Gap]:
        """Tell what is still missing after the grace."""
        gaps = []
        for key, line in self._lines.items():
            if line.holes:
                for hole in line.ripe(now - GRACE):
                    self._changed.add(key)
                    metrics.GAPS.labels(key.split("|")[1], key.split("|")[0]).inc()
                    gaps.append(self._gap(key, hole, max(now, hole.found), "open", _missing(key, hole)))
        return gaps

    def _gap(self, key: str, hole: Hole, now: int, state: GapState, reason: str) -> Gap:
        channel, exchange, symbol, timeframe = key.split("|")
        identity = _identity(key, hole.first, hole.last)
        if channel == "trade":
            return Gap(
                now, identity, exchange, symbol, channel, hole.from_ts, hole.to_ts, str(hole.first), str(hole.last),
                state, reason,
            )  # fmt: skip
        start, end = _opens(timeframe, hole.first), _opens(timeframe, hole.last + 1)
        return Gap(now, identity, exchange, symbol, channel, start, end, None, None, state, reason)

    # order books

    def _book(self, book: Book) -> list[Gap]:
        """Deltas that were not delivered can never be fetched again, whatever the snapshot after them repairs."""
        key = f"book|{book.exchange}|{book.symbol}|"
        ts = book.recv if book.ts is None else book.ts
        number = book.last_id or 0
        line = self._lines.get(key)
        self._changed.add(key)
        if line is None:
            self._lines[key] = IdLine(number, ts)
            return []
        first = number if book.kind == "snapshot" else (line.last + 1 if book.first_id is None else book.first_id)
        if book.kind == "delta" and book.prev_id is not None and book.prev_id == line.last:
            first = line.last + 1
        last_missing = number if book.kind == "snapshot" else first - 1
        gaps = []
        if last_missing > line.last:
            metrics.GAPS.labels(book.exchange, "book").inc()
            gaps.append(
                Gap(
                    book.recv,
                    _identity(key, line.last + 1, last_missing),
                    book.exchange,
                    book.symbol,
                    "book",
                    line.ts,
                    max(line.ts, ts),
                    str(line.last + 1),
                    str(last_missing),
                    "unfillable",
                    "the exchange keeps no history of order-book changes; the book itself starts again from a snapshot",
                )
            )
        if number > line.last:
            line.last, line.ts = number, max(line.ts, ts)
        return gaps

    # feeds without numbers

    def _report(self, feed: Feed) -> None:
        for key, interruption in self._interruptions.items():
            _, exchange, symbol, channel = key.split("|")
            if (exchange, channel) == (feed.exchange, feed.channel) and feed.symbol in (symbol, "*"):
                interruption.reported(feed)
                self._changed.add(key)

    def _interruption(self, event: MarketEvent) -> list[Gap]:
        channel = event_type(event)
        key = f"feed|{event.exchange}|{event.symbol}|{channel}"
        self._changed.add(key)
        interruption = self._interruptions.get(key)
        if interruption is None:
            ts = event.recv if event.ts is None else event.ts
            self._interruptions[key] = Interruption(ts, event.recv)
            return []
        ended = interruption.take(event)
        if ended is None:
            return []
        start, end, reason = ended
        metrics.GAPS.labels(event.exchange, channel).inc()
        lasting = "" if channel == "trade" else f"; the exchange keeps no history of {channel} messages"
        state: GapState = "open" if channel == "trade" else "unfillable"
        return [
            Gap(
                event.recv,
                _identity(key, start, end),
                event.exchange,
                event.symbol,
                channel,
                start,
                end,
                None,
                None,
                state,
                reason + lasting,
            )
        ]


def _identity(key: str, first: int, last: int) -> str:
    """What is missing decides the id, so that finding it twice is finding one gap."""
    return hashlib.sha256(f"{key}|{first}|{last}".encode()).hexdigest()[:24]


def _missing(key: str, hole: Hole) -> str:
    channel, _, _, timeframe = key.split("|")
    count = hole.last - hole.first + 1
    if channel == "candle":
        return f"{count} closed {timeframe} candle{'s' * (count > 1)} missing"
    return f"{count} trade{'s' * (count > 1)} missing by id"


def _index(candle: Candle) -> int:
    """Number a candle among those of its timeframe since the epoch."""
    seconds = candle.open_ts // SECOND
    if candle.timeframe.endswith("M"):
        moment = datetime.fromtimestamp(seconds, UTC)
        return (moment.year * 12 + moment.month - 1) // int(candle.timeframe[:-1])
    return (seconds - _offset(candle.timeframe)) // _length(candle.timeframe)


def _opens(timeframe: str, index: int) -> int:
    """Return when the candle of this number opens (ns)."""
    if timeframe.endswith("M"):
        month = index * int(timeframe[:-1])
        return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * SECOND
    return (index * _length(timeframe) + _offset(timeframe)) * SECOND


def _length(timeframe: str) -> int:
    return int(timeframe[:-1]) * _SECONDS[timeframe[-1]]


def _offset(timeframe: str) -> int:
    return _FIRST_MONDAY if timeframe.endswith("w") else 0
