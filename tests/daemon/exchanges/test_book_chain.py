"""In-band books: continuity, one break told once, overlapping connections."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.exchanges.book_chain import BookChain


def test_a_delta_follows_on_what_came_before():
    chain = BookChain()
    chain.begin(1, 10)
    assert chain.take(1, 10, 12) == "follows"
    assert chain.take(1, 12, 11) == "follows"  # OKX: ids may fall where prev_id fits
    assert chain.last_id == 11


def test_a_break_is_told_once_and_ends_with_the_next_snapshot():
    chain = BookChain()
    chain.begin(1, 10)
    assert [chain.take(1, 11, 12), chain.take(1, 12, 13), chain.take(1, 10, 11)] == ["broken", "duplicate", "duplicate"]
    chain.begin(1, 20)
    assert chain.take(1, 20, 21) == "follows"


def test_the_same_delta_again_is_a_duplicate_and_no_break():
    chain = BookChain()
    chain.begin(1, 10)
    assert [chain.take(1, 10, 12), chain.take(1, 10, 12), chain.take(1, 10, 12)] == ["follows", *["duplicate"] * 2]
    assert [chain.take(1, 12, 12), chain.take(1, 12, 12), chain.take(1, 12, 13)] == ["follows"] * 3  # OKX: no change
    assert chain.take(1, 12, 14) == "broken"


def test_a_delta_before_any_snapshot_is_a_break():
    assert BookChain().take(1, None, 1) == "broken"


def test_books_without_ids_break_by_checksum():
    chain = BookChain()
    chain.begin(1)
    assert chain.take(1) == "follows"
    assert chain.fail() == "broken"
    assert chain.take(1) == "duplicate"


def test_the_newest_snapshot_decides_which_connection_counts():
    chain = BookChain()
    chain.begin(1, 10)
    chain.begin(2, 12)
    assert chain.take(1, 10, 11) == "duplicate"
    assert chain.take(2, 12, 13) == "follows"


def test_when_its_connection_goes_another_one_begins_anew():
    chain = BookChain()
    chain.begin(2, 10)
    chain.lost()
    assert chain.take(1, 10, 11) == "broken"
    assert chain.take(1, 11, 12) == "duplicate"


@given(st.lists(st.integers(0, 9), min_size=1), st.data())
def test_what_follows_is_always_contiguous(steps, data):
    chain, position = BookChain(), 0
    chain.begin(1, 0)
    for step in steps:
        prev = position if data.draw(st.booleans()) else position + step
        verdict = chain.take(1, prev, prev + 1)
        assert (verdict == "follows") == (prev == position and chain.connection == 1)
        if verdict != "follows":
            return
        position = prev + 1
