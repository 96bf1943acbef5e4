"""The closed minutes of one symbol, and what they add up to: minutes of the newest hours, hours of what is longer."""

from typing import Final

from bus import timeframes
from bus.clock import SECOND
from handlers.candles.bar import Bar, fold
from handlers.candles.past import Past

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
KEPT: Final = 3
"""Hours that are kept minute by minute."""
FOLDED: Final = 24 * 31 + KEPT
"""Hours that are kept as one bar: those of the longest candle, a month."""


class Hours:
    """Minutes come in any order; what is not kept is asked for. All raise StoreUnavailable; times in ns."""

    def __init__(self, exchange: str, symbol: str, past: Past) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._past = past
        self._minutes: dict[int, dict[int, Bar]] = {}
        self._folded: dict[int, Bar | None] = {}
        self._asked: set[int] = set()
        """Hours that are kept and were asked for while they ran: what came last may not have been stored yet."""

    async def put(self, bar: Bar) -> bool:
        """Take a closed minute; False when it is here as it is."""
        hour = bar.open_ts // HOUR * HOUR
        minutes = await self._hour(hour)
        if minutes.get(bar.open_ts) == bar:
            return False
        minutes[bar.open_ts] = bar
        self._folded.pop(hour, None)
        return True

    async def bar(self, timeframe: str, open_ts: int, running: Bar | None) -> Bar | None:
        """Return a candle as its minutes make it, with the minute that is still running where it lies in it."""
        end = timeframes.following(timeframe, open_ts)
        if end - open_ts <= HOUR:
            minutes = await self._hour(open_ts // HOUR * HOUR)
            parts = [minutes[at] for at in range(open_ts, end, MINUTE) if at in minutes]
        else:
            parts = await self._hours(open_ts, end)
        if (
            running is not None
            and open_ts <= running.open_ts < end
            and (not parts or parts[-1].open_ts < running.open_ts)
        ):
            parts.append(running)
        return fold(open_ts, parts)

    async def _hours(self, start: int, end: int) -> list[Bar]:
        """Return the bars of a span's hours; those that are not known are asked for at once."""
        newest = max(self._minutes, default=start)
        wanted = range(start, min(end, newest + HOUR), HOUR)
        unknown = [hour for hour in wanted if hour not in self._minutes and hour not in self._folded]
        if unknown:
            found = await self._past.minutes(self._exchange, self._symbol, unknown[0], unknown[-1] + HOUR)
            for hour in unknown:
                self._fold(hour, [bar for bar in found if hour <= bar.open_ts < hour + HOUR])
        for hour in wanted:
            if hour not in self._folded:
                self._fold(hour, [bar for _, bar in sorted(self._minutes[hour].items())])
        parts = [bar for hour in wanted if (bar := self._folded[hour]) is not None]
        for old in sorted(self._folded)[:-FOLDED]:
            del self._folded[old]
        return parts

    def _fold(self, hour: int, bars: list[Bar]) -> None:
        self._folded[hour] = fold(hour, bars)

    async def _hour(self, hour: int) -> dict[int, Bar]:
        """Return an hour's minutes; of the kept ones the oldest makes room."""
        if hour not in self._minutes:
            stored = await self._past.minutes(self._exchange, self._symbol, hour, hour + HOUR)
            self._minutes[hour] = {bar.open_ts: bar for bar in stored}
            if stored:
                self._asked.add(hour)
        for old in sorted(self._minutes)[:-KEPT]:
            if old != hour:
                minutes = self._minutes.pop(old)
                self._folded.pop(old, None)
                if old in self._asked:
                    self._asked.remove(old)  # asked for again when it is needed: by then all of it is stored
                else:
                    self._fold(old, [bar for _, bar in sorted(minutes.items())])
        return self._minutes[hour]
