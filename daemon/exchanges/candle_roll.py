"""Candles of exchanges that never say that one is closed: it is when the next one has come."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from bus.events import Candle


class CandleRoll:
    """The last candle of one feed. Each message brings whole candles, whose volume only grows.

    What overlapping connections repeat, or bring late, is recognised by its volume: it is no larger than what came.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: Candle | None = None

    def take(self, candles: Sequence[Candle], *, snapshot: bool) -> list[Candle]:
        """Return what one message's candles give rise to, in order: those with a successor are closed.

        The first message gives its last candle alone: the ones before it are history. A snapshot that does not reach
        back to the last candle does not close it, since its end was not seen.
        """
        line = sorted(candles, key=lambda candle: candle.open_ts)
        last, events = self._last, list[Candle]()
        if not line:
            return events
        if last is None:
            self._last = line[-1]
            return [line[-1]]
        if last.open_ts < line[0].open_ts and not snapshot:
            events.append(replace(last, recv=line[0].recv, closed=True))
        for candle, successor in zip(line, [*line[1:], None], strict=True):
            if _newer(candle, last, followed=successor is not None):
                events.append(replace(candle, closed=successor is not None))
                self._last = last = candle
        return events


def _newer(candle: Candle, last: Candle, *, followed: bool) -> bool:
    """Whether a candle says more than the last one that was published; being followed says that it is closed."""
    if candle.open_ts != last.open_ts:
        return candle.open_ts > last.open_ts
    grown = Decimal(candle.volume) - Decimal(last.volume)
    return grown > 0 or (followed and grown == 0)
