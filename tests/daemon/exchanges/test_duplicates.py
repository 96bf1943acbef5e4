"""The memory of ids is exact: nothing new is dropped, nothing old passes."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.exchanges import duplicates
from daemon.exchanges.duplicates import IdFilter


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
