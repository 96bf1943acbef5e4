"""Candle timeframes (1s, 5m, 4h, 3d, 1w, 1M) on the calendar: UTC, weeks from Monday, months from their first."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from bus.clock import SECOND

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FIRST_MONDAY: Final = 4 * 86_400 * SECOND
"""The epoch was a Thursday."""
_DAY: Final = 86_400 * SECOND
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def _length(timeframe: str) -> int | None:
    """Return the length in ns; None for months and for what is no timeframe."""
    unit = _SECONDS.get(timeframe[-1:])
    count = timeframe[:-1]
    return int(count) * unit * SECOND if unit and _is_count(count) else None


@lru_cache(maxsize=256)
def _months(timeframe: str) -> int | None:
    count = timeframe[:-1]
    return int(count) if timeframe[-1:] == "M" and _is_count(count) else None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) > 0


def _month(ts: int) -> int:
    moment = _EPOCH + timedelta(seconds=ts // SECOND)
    return moment.year * 12 + moment.month - 1


def _first_of(month: int) -> int:
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * SECOND


def number(timeframe: str, open_ts: int) -> int | None:
    """Count the candle that opens at `open_ts` (ns) among those of its timeframe; None for an unknown timeframe."""
    length = _length(timeframe)
    if length is not None:
        return (open_ts - (_FIRST_MONDAY if timeframe[-1] == "w" else 0)) // length
    months = _months(timeframe)
    return None if months is None else _month(open_ts) // months


def opening(timeframe: str, ts: int) -> int:
    """Return when the candle that a time (ns) lies in opens; the time itself for an unknown timeframe."""
    length, months = _length(timeframe), _months(timeframe)
    if months is not None:
        return _first_of(_month(ts) // months * months)
    return ts if length is None else ts - (ts - (_FIRST_MONDAY if timeframe[-1] == "w" else 0)) % length


def following(timeframe: str, open_ts: int) -> int:
    """Return when the candle after the one of `open_ts` opens (ns); `open_ts` itself for an unknown timeframe."""
    length, months = _length(timeframe), _months(timeframe)
    return open_ts + (length or 0) if months is None else _first_of(_month(open_ts) + months)


def opens_at(timeframe: str, ts: int) -> bool:
    """Tell whether a candle may open at `ts`. Where exchanges begin to count spans of several days or weeks differs."""
    length, months = _length(timeframe), _months(timeframe)
    if months is not None:
        return ts == _first_of(_month(ts))
    if length is None:
        return True
    if timeframe[-1] == "w":
        return (ts - _FIRST_MONDAY) % (7 * _DAY) == 0
    return ts % min(length, _DAY) == 0
