"""The memory of ids is exact: nothing new is dropped, nothing old passes."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from daemon.exchanges import duplicates
from daemon.exchanges.duplicates import OUTDATED, CandleFilter, IdFilter, Newest, RecentIds


@given(st.lists(st.integers(0, 60)))
def test_an_id_is_seen_exactly_when_it_came_before(identities):
    known, ids = set(), IdFilter()
    for identity in identities:
        assert ids.seen(identity) == (identity in known)
        known.add(identity)


def test_contiguous_ids_take_no_memory():
    ids = IdFilter()
    for identity in range(10**9, 10**9 + 1000):
        assert not ids.seen(identity)
    assert ids._starts == [0]


def test_memory_is_bounded_and_what_was_forgotten_counts_as_new(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_RANGES", 10)
    ids = IdFilter()
    for identity in range(0, 100, 2):
        assert not ids.seen(identity)
    assert len(ids._starts) == len(ids._ends) == 10
    assert not ids.seen(1)
    assert not ids.seen(97)
    assert ids.seen(97)


def test_recent_ids_remember_at_least_as_many_as_they_promise(monkeypatch):
    monkeypatch.setattr(duplicates, "RECENT_REMEMBERED", 5)
    ids = RecentIds()
    for number in range(100):
        assert not ids.seen(str(number))
        assert all(ids.seen(str(before)) for before in range(max(0, number - 4), number + 1))
        assert len(ids._new) + len(ids._old) <= 10
    assert not ids.seen("0")


def test_a_candle_without_event_times_goes_on_by_its_volume():
    candles = CandleFilter()
    assert not candles.seen(60, Decimal(0), closed=False)
    assert candles.seen(60, Decimal("0.0"), closed=False)
    assert not candles.seen(60, Decimal("0.1"), closed=False)
    assert not candles.seen(60, Decimal("0.1"), closed=True)
    assert candles.seen(60, Decimal("0.2"), closed=False)
    assert not candles.seen(120, Decimal(0), closed=False)


def test_what_is_older_is_a_repetition_until_nothing_newer_has_come_for_long():
    newest = Newest()
    assert not newest.repeats(5, 100)
    newest.reach(7, 200)
    assert [newest.repeats(at, 300) for at in (6, 7, 8)] == [True, True, False]
    assert [newest.outdates(at, 300) for at in (6, 7, 8)] == [True, False, False]
    assert [newest.repeats(at, 200 + OUTDATED - 1) for at in (1, 6, 7)] == [True, True, True]
    assert [newest.repeats(at, 200 + OUTDATED) for at in (1, 6, 7)] == [False, False, True]
