"""Candles of all intervals and the rolling 24 hours, built from the same trades that are printed."""

from collections import deque
from datetime import UTC, datetime
from typing import Final

SECOND: Final = 1_000
DAY: Final = 86_400 * SECOND
INTERVALS: Final = {
    "1s": SECOND,
    "1m": 60 * SECOND,
    "3m": 180 * SECOND,
    "5m": 300 * SECOND,
    "15m": 900 * SECOND,
    "30m": 1_800 * SECOND,
    "1h": 3_600 * SECOND,
    "2h": 7_200 * SECOND,
    "4h": 14_400 * SECOND,
    "6h": 21_600 * SECOND,
    "8h": 28_800 * SECOND,
    "12h": 43_200 * SECOND,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
}
"""Lengths in ms; the calendar's month is apart."""
MONTH: Final = "1M"
NAMES: Final = (*INTERVALS, MONTH)
FIRST_MONDAY: Final = 4 * DAY
KEPT: Final = 100_000


class Bar:
    """One candle, times in ms, prices in ticks, volumes in lots and in tick-lots; `first` -1 without a trade."""

    __slots__ = (
        "buy_lots",
        "buy_value",
        "close",
        "count",
        "end",
        "first",
        "high",
        "last",
        "lots",
        "low",
        "open",
        "start",
        "value",
    )  # one list

    def __init__(self, start: int, end: int, price: int) -> None:
        self.start = start
        self.end = end
        self.open = self.high = self.low = self.close = price
        self.lots = self.value = self.buy_lots = self.buy_value = 0
        self.count = 0
        self.first = self.last = -1

    def trade(self, number: int, price: int, lots: int, *, taker_bought: bool) -> None:
        """Take one trade in."""
        if not self.count:
            self.open = self.high = self.low = price
            self.first = number
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.last = number
        self.count += 1
        self.lots += lots
        self.value += price * lots
        if taker_bought:
            self.buy_lots += lots
            self.buy_value += price * lots

    def fold(self, other: "Bar") -> None:
        """Take in all that a later, shorter bar holds."""
        if not other.count:
            return
        if not self.count:
            self.open, self.high, self.low, self.first = other.open, other.high, other.low, other.first
        else:
            self.high = max(self.high, other.high)
            self.low = min(self.low, other.low)
        self.close, self.last = other.close, other.last
        self.count += other.count
        self.lots += other.lots
        self.value += other.value
        self.buy_lots += other.buy_lots
        self.buy_value += other.buy_value


def bounds(name: str, time: int) -> tuple[int, int]:
    """Return begin and end (exclusive) of the candle that a time (ms) lies in."""
    if name == MONTH:
        now = datetime.fromtimestamp(time // SECOND, UTC)
        begin = datetime(now.year, now.month, 1, tzinfo=UTC)
        after = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
        return int(begin.timestamp()) * SECOND, int(after.timestamp()) * SECOND
    length = INTERVALS[name]
    offset = FIRST_MONDAY if name == "1w" else 0
    start = time - (time - offset) % length
    return start, start + length


class Candles:
    """The candles of one symbol. Between two looks trades gather in one short bar, which is then folded into all."""

    def __init__(self, time: int, price: int) -> None:
        self.current = {name: Bar(*bounds(name, time), price) for name in NAMES}
        self.closed: dict[str, deque[Bar]] = {name: deque(maxlen=KEPT) for name in NAMES}
        self.gathering = Bar(time, time, price)
        self._next_end = min(bar.end for bar in self.current.values())
        self.day = RollingDay()

    def settle(self) -> None:
        """Fold what has gathered into every candle. All of it must lie within one second."""
        gathered = self.gathering
        if gathered.count:
            for bar in self.current.values():
                bar.fold(gathered)
            self.gathering = Bar(gathered.start, gathered.end, gathered.close)

    def advance(self, time: int) -> list[tuple[str, Bar]]:
        """Let time pass to `time` (ms); return the candles that have closed, after `settle`."""
        done: list[tuple[str, Bar]] = []
        while time >= self._next_end:
            for name, bar in self.current.items():
                if bar.end <= self._next_end:
                    done.append((name, bar))
                    self.closed[name].append(bar)
                    if name == "1s":
                        self.day.add(bar)
                    self.current[name] = Bar(*bounds(name, bar.end), bar.close)
            self._next_end = min(bar.end for bar in self.current.values())
        return done

    def bars(self, name: str) -> list[Bar]:
        """Return all candles of an interval, oldest first, the open one last."""
        return [*self.closed[name], self.current[name]]


class RollingDay:
    """The last 24 hours in whole seconds plus the running one: sums, and extremes by monotonic queues."""

    def __init__(self) -> None:
        self._seconds: deque[Bar] = deque()
        self._highs: deque[Bar] = deque()
        self._lows: deque[Bar] = deque()
        self._count = self._lots = self._value = 0

    def add(self, bar: Bar) -> None:
        """Take in a second that is over, and let go of what is older than a day."""
        if bar.count:
            self._seconds.append(bar)
            self._count += bar.count
            self._lots += bar.lots
            self._value += bar.value
            while self._highs and self._highs[-1].high <= bar.high:
                self._highs.pop()
            self._highs.append(bar)
            while self._lows and self._lows[-1].low >= bar.low:
                self._lows.pop()
            self._lows.append(bar)
        oldest = bar.end - DAY
        while self._seconds and self._seconds[0].start < oldest:
            gone = self._seconds.popleft()
            self._count -= gone.count
            self._lots -= gone.lots
            self._value -= gone.value
            if self._highs[0] is gone:
                self._highs.popleft()
            if self._lows[0] is gone:
                self._lows.popleft()

    def with_running(self, running: Bar) -> Bar:
        """Return the 24 hours up to now as one bar."""
        day = Bar(running.end - DAY, running.end, running.open)
        if self._seconds:
            first, last = self._seconds[0], self._seconds[-1]
            day.open, day.close, day.first, day.last = first.open, last.close, first.first, last.last
            day.high, day.low = self._highs[0].high, self._lows[0].low
            day.count, day.lots, day.value = self._count, self._lots, self._value
        day.fold(running)
        return day
