"""Builds candles of every length wanted, live; corrects them when trades come late; says where exchanges differ."""

from collections.abc import Sequence
from typing import ClassVar, Final, TypeVar

from bus import timeframes
from bus.clock import SECOND
from bus.events import Candle, Event, Gap, MarketEvent, Quality, Trade
from bus.handler import Batch, Handler, StateStore
from handlers.candles.bar import Bar, differences
from handlers.candles.line import REMEMBERED, SETTLED, Line
from handlers.candles.past import Past

LOOK: Final = SECOND // 4
"""Time (ns) between two looks for what has ended."""
RUNNING: Final = 5 * SECOND
"""Time (ns) between two words on a candle that is still open."""

T = TypeVar("T")
Key = tuple[str, int]
"""A candle of a symbol: its length and when it opens (ns)."""


class CandleHandler(Handler):
    """Candles that the exchange sends itself are not built but compared: rule `candle_mismatch`.

    A candle is built from the exchange's one-minute candles, or from trades where it sends none, and only where
    everything since its beginning is known. One that changes after it was closed is told again.
    """

    name = "candles"
    channels: ClassVar[frozenset[str]] = frozenset({"trade", "candle"})
    system: ClassVar[bool] = True
    batch_events: ClassVar[int] = 5_000
    pace = 0.05

    def __init__(self, wanted: Sequence[str], past: Past) -> None:
        self._wanted = wanted
        self._past = past
        self._begin()

    def _begin(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}
        self._said: dict[Line, dict[Key, tuple[Bar, bool]]] = {}
        self._compared: dict[Line, dict[Key, str]] = {}
        self._unsettled: dict[Line, set[Key]] = {}
        """Candles that ended a short while ago, to be compared."""
        self._looked: dict[str, int] = {}
        """Up to when each exchange has been looked at (ns): after an outage a batch may span hours."""
        self._spoke = 0
        self._found: list[Event] = []
        self._gaps: dict[str, Gap] = {}
        """Gaps in trades that nobody has filled: what lies in them is not compared."""

    async def start(self, state: StateStore) -> None:  # noqa: ARG002 # the database is its memory
        """Begin anew: what was before is asked for when it is needed."""
        self._begin()

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Return the candles that have closed or changed, and where they differ. Raises StoreUnavailable."""
        for event in batch.events:
            if isinstance(event, MarketEvent):
                if event.recv - self._looked.get(event.exchange, 0) >= LOOK:
                    self._looked[event.exchange] = event.recv
                    await self._look(event.recv, event.exchange)
                if type(event) is Trade:
                    await self._line(event).trade(event)
                elif type(event) is Candle and event.source != "derived":
                    await self._line(event).candle(event)
            elif type(event) is Gap and event.channel == "trade":
                self._note(event)
        return self._leave()

    async def tick(self, now: int) -> Sequence[Event]:
        """Let candles close that nothing more comes for, and say how the open ones stand. Raises StoreUnavailable."""
        for exchange in {exchange for exchange, _ in self._lines}:
            await self._look(now, exchange)
        if now - self._spoke >= RUNNING:
            self._spoke = now
            for line in self._lines.values():
                for timeframe, opening in sorted(
                    {*line.running(), *(key for key in line.changed if timeframes.following(*key) > now)}
                ):
                    await self._say(line, timeframe, opening, now, closed=False)
        return self._leave()

    async def close(self) -> None:
        """Let go of the past's connection."""
        await self._past.close()

    def _line(self, event: MarketEvent) -> Line:
        key = event.exchange, event.symbol
        if key not in self._lines:
            line = self._lines[key] = Line(*key, self._past, self._wanted)
            self._said[line], self._compared[line], self._unsettled[line] = {}, {}, set()
        return self._lines[key]

    def _note(self, gap: Gap) -> None:
        self._gaps.pop(gap.id, None)
        if gap.state != "filled":
            self._gaps[gap.id] = gap
            for old in list(self._gaps)[:-REMEMBERED]:
                del self._gaps[old]

    def _leave(self) -> list[Event]:
        found, self._found = self._found, []
        return found

    async def _look(self, now: int, exchange: str) -> None:
        """Find what has ended by now. Where the past cannot be asked, what is left is found the next time."""
        for line in [line for line in self._lines.values() if line.exchange == exchange]:
            await line.close_minutes(now)
            ended = [key for key, due in line.changed.items() if due <= now]
            for timeframe, opening in sorted(ended, key=lambda key: (timeframes.following(*key), key[1])):
                await self._say(line, timeframe, opening, now, closed=True)
                self._unsettled[line].add((timeframe, opening))
                del line.changed[timeframe, opening]
            settled = [key for key in self._unsettled[line] if timeframes.following(*key) + SETTLED <= now]
            for timeframe, opening in sorted(settled):
                await self._compare(line, timeframe, opening, now)
                self._unsettled[line].remove((timeframe, opening))

    async def _say(self, line: Line, timeframe: str, opening: int, now: int, *, closed: bool) -> None:
        """Tell a candle, unless it is the exchange's to tell or has been told like this."""
        if timeframe not in self._wanted or timeframe in line.delivered:
            return
        bar = await line.bar(timeframe, opening)
        if bar is not None and _new(self._said[line], (timeframe, opening), (bar, closed)):
            self._found.append(bar.event(line.exchange, line.symbol, timeframe, now, closed=closed))

    async def _compare(self, line: Line, timeframe: str, opening: int, now: int) -> None:
        """Compare one of the exchange's candles with what it is made of."""
        own = line.own.get((timeframe, opening))
        of_trades = timeframe == "1m"
        built = line.traded(opening) if of_trades else await line.bar(timeframe, opening)
        if own is None or built is None or (of_trades and self._torn(line, opening)):
            return
        detail = differences(built, own)
        if _new(self._compared[line], (timeframe, opening), detail) and detail:
            told = f"by its {'trades' if of_trades else 'one-minute candles'} {detail}"
            reference = f"candle:{timeframe}:{opening}"
            self._found.append(
                Quality(now, line.exchange, line.symbol, "candle", "candle_mismatch", "warning", reference, told)
            )

    def _torn(self, line: Line, opening: int) -> bool:
        """Whether trades of a minute are known to be missing."""
        return any(
            gap.exchange == line.exchange
            and gap.symbol in {line.symbol, "*"}
            and (gap.from_ts is None or gap.from_ts < opening + 60 * SECOND)
            and (gap.to_ts is None or gap.to_ts >= opening)
            for gap in self._gaps.values()
        )


def _new(said: dict[Key, T], key: Key, word: T) -> bool:
    """Remember what was said of a candle; False when it was the same."""
    if said.pop(key, None) == word:
        said[key] = word
        return False
    said[key] = word
    for old in list(said)[:-REMEMBERED]:
        del said[old]
    return True
