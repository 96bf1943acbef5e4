"""Whether what an exchange's history gave is complete: by ids that rise by one, or against its own candles."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from bus.clock import SECOND
from bus.events import Candle, Trade
from daemon.exchanges.duplicates import IdFilter

MINUTE: Final = 60 * SECOND


def minutes(start: int, end: int) -> tuple[int, int]:
    """Return when the whole minutes that a time lies in begin, and when they are over (ns)."""
    return start // MINUTE * MINUTE, -(-(end + 1) // MINUTE) * MINUTE


class IdCheck:
    """Which ids have not come, in whatever order the pages are."""

    def __init__(self) -> None:
        self._ids = IdFilter()

    def take(self, trades: Iterable[Trade]) -> None:
        """Note a page."""
        for trade in trades:
            self._ids.seen(int(trade.id))

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the parts of a range that have not come; all ends are included."""
        return self._ids.missing(first, last)


class VolumeCheck:
    """Whether trades add up to the volume of the exchange's own one-minute candles."""

    def __init__(self) -> None:
        self._volumes: defaultdict[int, Decimal] = defaultdict(Decimal)
        self._counts: Counter[int] = Counter()
        self._seen: set[str] = set()

    def take(self, trades: Iterable[Trade]) -> None:
        """Note a page; pages may overlap."""
        for trade in trades:
            if trade.ts is not None and trade.id not in self._seen:
                self._seen.add(trade.id)
                minute = trade.ts // MINUTE * MINUTE
                self._volumes[minute] += Decimal(trade.amount)
                self._counts[minute] += 1

    def count(self, start: int, end: int) -> int:
        """Return how many trades have come of the minutes from one time to another (ns)."""
        return sum(count for minute, count in self._counts.items() if start <= minute < end)

    def differing(self, candles: Iterable[Candle]) -> list[int]:
        """Return the opening times (ns) of the minutes that do not add up, those without a candle included."""
        stated = {candle.open_ts: Decimal(candle.volume) for candle in candles}
        minutes = sorted(stated.keys() | self._volumes.keys())
        return [minute for minute in minutes if stated.get(minute, Decimal()) != self._volumes.get(minute, Decimal())]
