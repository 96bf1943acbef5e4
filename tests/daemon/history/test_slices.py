"""Slices cover what is asked for exactly once, whoever asks, and candles are counted on their calendar."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import timeframes
from bus.clock import SECOND
from daemon.exchanges.base import FeedKey
from daemon.history import slices

HOUR = 3_600 * SECOND
T0 = 1_700_000_000 * SECOND
FEEDS = [FeedKey("A/B", "trade"), *(FeedKey("A/B", "candle", name) for name in ("1s", "1m", "5m", "1d", "1w", "1M"))]
times = st.integers(T0, T0 + 90 * 24 * HOUR)


@given(feed=st.sampled_from(FEEDS[:1] + FEEDS[2:]), ends=st.tuples(times, times).map(sorted))
def test_slices_join_without_a_hole_and_their_number_is_known_before(feed: FeedKey, ends: list[int]):
    start, end = ends
    cut = list(slices.slices(feed, start, end))
    assert len(cut) == slices.count(feed, start, end)
    joints = [start, *(part.end for part in cut)]
    assert joints == ([*(part.start for part in cut), end] if start < end else [start])
    assert all(part.start < part.end for part in cut)


@given(feed=st.sampled_from(FEEDS[:1] + FEEDS[2:6]), ends=st.tuples(times, times, times, times).map(sorted))
def test_whole_slices_are_the_same_for_every_download(feed: FeedKey, ends: list[int]):
    low, first, last, high = ends
    inner = {part for part in slices.slices(feed, first, last) if part.whole}
    assert inner <= {part for part in slices.slices(feed, low, high) if part.whole}


@given(timeframe=st.sampled_from(["1h", "4h", "1d", "1w", "1M"]), ends=st.tuples(times, times).map(sorted))
def test_candles_are_as_many_as_open(timeframe: str, ends: list[int]):
    opens = list(slices.openings(timeframe, *ends))
    assert len(opens) == slices.candles(timeframe, *ends)
    assert all(timeframes.opens_at(timeframe, opening) for opening in opens)


@given(timeframe=st.sampled_from(["1m", "15m", "4h", "1d", "3d", "1w", "1M"]), ts=times)
def test_a_time_lies_in_the_candle_that_it_opens(timeframe: str, ts: int):
    opening = timeframes.opening(timeframe, ts)
    assert opening <= ts < timeframes.following(timeframe, opening)
    assert timeframes.number(timeframe, opening) == timeframes.number(timeframe, ts)


@pytest.mark.parametrize(("timeframe", "expected"), [("1w", "2024-08-05"), ("1M", "2024-08-01"), ("1d", "2024-08-08")])
def test_openings_on_the_calendar(timeframe: str, expected: str):
    ts = int(datetime(2024, 8, 8, 13, 5, tzinfo=UTC).timestamp()) * SECOND
    opening = datetime.fromtimestamp(timeframes.opening(timeframe, ts) // SECOND, UTC)
    assert opening.date().isoformat() == expected


def test_candles_that_are_still_open_are_not_asked_for():
    feed = FeedKey("A/B", "candle", "1h")
    now = T0 // HOUR * HOUR + 5
    assert slices.last_closed(feed, now, now) == T0 // HOUR * HOUR
    assert slices.last_closed(feed, now - 3 * HOUR, now) == now - 3 * HOUR
    assert slices.last_closed(FeedKey("A/B", "trade"), now, now) == now
