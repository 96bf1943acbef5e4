"""Closed candles follow one another on the calendar; a missing one is a gap, an open one is state and no history."""

from datetime import UTC, datetime

import msgspec
import pytest
from gap_run import MINUTE, T0, Run, candle
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Candle

WEEK, DAY = 7 * 86_400, 86_400
MONDAY = 1_704_067_200  # 2024-01-01 was a Monday
MONTHS = [int(datetime(2024, month, 1, tzinfo=UTC).timestamp()) for month in range(1, 13)]


def opening(timeframe: str, seconds: int) -> Candle:
    ns = seconds * SECOND
    return Candle("binance", "X/Y", ns, ns, "ws", timeframe, ns, "1", "1", "1", "1", "1", 1, closed=True)


def test_a_missing_closed_candle_is_a_gap_and_an_open_one_is_none():
    run = Run()
    run.feed(candle(0), candle(1, closed=False), candle(1), candle(4, closed=False), candle(4))
    (gap,) = run.wait(600)
    assert (gap.channel, gap.symbol, gap.state) == ("candle", "BTC/USDT", "open")
    assert (gap.from_ts, gap.to_ts) == (T0 + 2 * MINUTE, T0 + 4 * MINUTE)
    assert gap.reason == "1m: 2 closed candles missing"
    filled, left = run.feed(candle(2))
    assert (filled.id, filled.state, filled.reason[:4]) == (gap.id, "filled", "1m: ")
    assert (left.from_ts, left.to_ts, left.state) == (T0 + 3 * MINUTE, T0 + 4 * MINUTE, "open")
    assert [gap.state for gap in run.feed(candle(3))] == ["filled"]
    assert {gap.state for gap in run.ledger.values()} == {"filled"}


@pytest.mark.parametrize(
    ("timeframe", "opens", "missing"),
    [
        ("1s", [0, 1, 3], (2, 3)),
        ("15m", [0, 900, 2_700], (1_800, 2_700)),
        ("1d", [MONDAY, MONDAY + DAY, MONDAY + 3 * DAY], (MONDAY + 2 * DAY, MONDAY + 3 * DAY)),
        ("3d", [MONDAY, MONDAY + 3 * DAY, MONDAY + 9 * DAY], (MONDAY + 6 * DAY, MONDAY + 9 * DAY)),
        ("3d", [MONDAY + DAY, MONDAY + 4 * DAY, MONDAY + 10 * DAY], (MONDAY + 7 * DAY, MONDAY + 10 * DAY)),
        ("1w", [MONDAY, MONDAY + WEEK, MONDAY + 3 * WEEK], (MONDAY + 2 * WEEK, MONDAY + 3 * WEEK)),
        ("1M", [MONTHS[0], MONTHS[1], MONTHS[3]], (MONTHS[2], MONTHS[3])),
        ("3M", [MONTHS[0], MONTHS[3], MONTHS[9]], (MONTHS[6], MONTHS[9])),
    ],
)
def test_each_timeframe_follows_the_calendar(timeframe: str, opens: list[int], missing: tuple[int, int]):
    run = Run()
    run.feed(*(opening(timeframe, seconds) for seconds in opens))
    (gap,) = run.wait(10_000)
    assert (gap.from_ts // SECOND, gap.to_ts // SECOND) == missing
    assert gap.reason.startswith(f"{timeframe}: 1 closed candle missing")


def test_a_whole_year_of_months_has_no_gap():
    run = Run()
    run.feed(*(opening("1M", seconds) for seconds in MONTHS))
    assert run.wait(10_000) == []


def test_timeframes_do_not_mix():
    run = Run()
    run.feed(candle(0), candle(0, timeframe="5m"), candle(1), candle(5, timeframe="5m"), candle(2))
    assert run.wait(10_000) == []
    run.feed(candle(4), candle(15, timeframe="5m"))
    minute, five = run.wait(20_000)
    assert {minute.reason[:3], five.reason[:3]} == {"1m:", "5m:"}
    assert minute.id != five.id


def test_derived_candles_and_unknown_timeframes_are_not_followed():
    run = Run()
    run.feed(candle(0, source="derived"), candle(9, source="derived"))
    run.feed(candle(0, timeframe="tick"), candle(9, timeframe="tick"), candle(0, timeframe="0m"))
    assert run.wait(10_000) == []


@given(st.sets(st.integers(0, 60), min_size=1), st.randoms(use_true_random=False))
def test_exactly_the_missing_minutes_lie_in_gaps(minutes: set[int], random):
    first, *rest = sorted(minutes)
    random.shuffle(rest)
    run = Run()
    run.feed(candle(first))
    for minute in rest:
        run.feed(msgspec.structs.replace(candle(minute), recv=T0))
    run.wait(100_000)
    covered = {
        moment
        for gap in run.ledger.values()
        if gap.state == "open"
        for moment in range((gap.from_ts - T0) // MINUTE, (gap.to_ts - T0) // MINUTE)
    }
    assert covered == set(range(first, max(minutes))) - minutes
