"""How a book is aligned with its snapshot, in every order that deltas and answers can come in."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.book import BookBuilder
from bus.clock import SECOND
from bus.events import Book
from daemon.exchanges.book_sync import BEHIND, MAX_BUFFERED, BookSync


def delta(first: int, last: int) -> Book:
    """Update number n sets the amount at price n % 7 + 1 to n."""
    levels = [(str(n % 7 + 1), str(n)) for n in range(first, last + 1)]
    return Book("x", "A/B", last, last, "ws", "delta", levels, [], first, last)


def snapshot(last: int) -> Book:
    levels = {n % 7 + 1: str(n) for n in range(1, last + 1)}
    return Book("x", "A/B", None, last, "rest", "snapshot", [(str(p), a) for p, a in levels.items()], [], last_id=last)


def ids(events: list[Book]) -> list[tuple]:
    return [(e.kind, e.first_id, e.last_id, e.prev_id) for e in events]


class Driven:
    def __init__(self) -> None:
        self.asked = 0
        self.sync = BookSync(self._ask)

    def _ask(self) -> None:
        self.asked += 1


@pytest.fixture
def driven() -> Driven:
    return Driven()


def test_deltas_wait_and_one_snapshot_is_asked_for(driven):
    assert [driven.sync.delta(delta(n, n)) for n in (1, 2, 3)] == [[], [], []]
    assert driven.asked == 1


def test_what_the_snapshot_covers_is_dropped_and_the_rest_follows_it(driven):
    for first, last in ((189, 202), (203, 207), (208, 224), (225, 237)):
        driven.sync.delta(delta(first, last))
    assert ids(driven.sync.snapshot(snapshot(218))) == [
        ("snapshot", None, 218, None), ("delta", 208, 224, 218), ("delta", 225, 237, 224),
    ]  # fmt: skip
    assert len(driven.sync.delta(delta(238, 240))) == 1


@pytest.mark.parametrize(("last", "accepted"), [(3, False), (4, True), (5, True), (9, True), (20, True)])
def test_a_snapshot_must_reach_the_buffer(driven, last, accepted):
    for n in range(5, 10):
        driven.sync.delta(delta(n, n))
    assert bool(driven.sync.snapshot(snapshot(last))) == accepted
    assert driven.asked == (1 if accepted else 2)


def test_a_snapshot_newer_than_everything_waits_for_the_delta_that_reaches_it(driven):
    driven.sync.delta(delta(1, 2))
    assert len(driven.sync.snapshot(snapshot(10))) == 1
    assert driven.sync.delta(delta(3, 9)) == []
    assert len(driven.sync.delta(delta(10, 12))) == 1


def timed(first: int, last: int, seconds: float) -> Book:
    return msgspec.structs.replace(delta(first, last), ts=round(seconds * SECOND))


def test_a_stream_far_behind_the_snapshot_is_no_new_count(driven):
    """REST is ahead of a slow connection: what is still under way is old by its ids and later than what waited."""
    driven.sync.delta(timed(1, 2, 0))
    driven.sync.snapshot(snapshot(2))
    assert driven.sync.delta(timed(5, 6, 1)) == []
    assert len(driven.sync.snapshot(snapshot(90))) == 1
    for n in range(7, 90):
        assert driven.sync.delta(timed(n, n, n / 2)) == []
        assert (driven.sync.last_id, driven.asked) == (90, 2)
    assert len(driven.sync.delta(timed(90, 91, 46))) == 1


def test_counting_anew_is_noticed_at_once_in_a_stream_that_has_caught_up(driven):
    driven.sync.delta(timed(100, 101, 0))
    driven.sync.snapshot(snapshot(101))
    assert len(driven.sync.delta(timed(102, 102, 0.1))) == 1
    assert driven.sync.delta(timed(102, 102, 0.9)) == []
    assert driven.asked == 1
    assert driven.sync.delta(timed(1, 1, 1.2)) == []
    assert (driven.sync.last_id, driven.asked) == (None, 2)
    assert [e.last_id for e in driven.sync.snapshot(snapshot(1))] == [1]


def test_counting_anew_right_behind_a_snapshot_is_noticed_in_the_end(driven):
    driven.sync.delta(timed(100, 101, 0))
    driven.sync.snapshot(snapshot(105))
    assert driven.sync.delta(timed(1, 1, BEHIND / SECOND)) == []
    assert driven.sync.last_id == 105
    assert driven.sync.delta(timed(2, 2, BEHIND / SECOND + 1)) == []
    assert (driven.sync.last_id, driven.asked) == (None, 2)


def test_what_waits_is_of_one_count(driven):
    """The exchange begins anew while a snapshot is on its way: the old ids would never be reached again."""
    driven.sync.delta(timed(100, 101, 0))
    driven.sync.delta(timed(1, 1, 2))
    driven.sync.delta(timed(2, 2, 2.1))
    assert [e.last_id for e in driven.sync.snapshot(snapshot(1))] == [1, 2]


def test_a_break_needs_a_snapshot_from_behind_the_hole(driven):
    driven.sync.delta(delta(1, 1))
    driven.sync.snapshot(snapshot(1))
    assert driven.sync.delta(delta(3, 3)) == []
    assert (driven.sync.last_id, driven.asked) == (None, 2)
    driven.sync.delta(delta(5, 5))
    assert driven.sync.snapshot(snapshot(3)) == []
    assert driven.asked == 3
    assert ids(driven.sync.snapshot(snapshot(4))) == [("snapshot", None, 4, None), ("delta", 5, 5, 4)]


def test_a_delta_that_was_only_late_closes_the_hole(driven):
    driven.sync.delta(delta(1, 1))
    driven.sync.snapshot(snapshot(1))
    driven.sync.delta(delta(3, 3))
    driven.sync.delta(delta(2, 2))
    assert [e.last_id for e in driven.sync.snapshot(snapshot(1))] == [1, 2, 3]


def test_duplicates_are_dropped(driven):
    driven.sync.delta(delta(1, 2))
    driven.sync.delta(delta(1, 2))
    assert len(driven.sync.snapshot(snapshot(1))) == 2
    assert driven.sync.delta(delta(1, 2)) == []
    assert driven.sync.last_id == 2


def test_after_a_failure_the_next_delta_asks_again(driven):
    driven.sync.delta(delta(1, 1))
    driven.sync.failed()
    assert driven.asked == 1
    driven.sync.delta(delta(2, 2))
    assert driven.asked == 2


def test_an_answer_that_nobody_waits_for_changes_nothing(driven):
    assert driven.sync.snapshot(snapshot(4)) == []
    driven.sync.delta(delta(1, 1))
    driven.sync.snapshot(snapshot(1))
    assert driven.sync.snapshot(snapshot(9)) == []
    assert driven.sync.last_id == 1


def test_the_answer_to_what_was_asked_before_the_feed_was_lost_is_not_used(driven):
    driven.sync.delta(delta(1, 1))
    driven.sync.reset()
    assert driven.sync.snapshot(snapshot(5)) == []
    driven.sync.delta(delta(8, 8))
    assert driven.asked == 2


def test_the_buffer_is_bounded_and_an_answer_that_never_comes_is_asked_for_anew(driven):
    for n in range(1, MAX_BUFFERED + 2):
        driven.sync.delta(delta(n, n))
    assert (driven.asked, len(driven.sync._buffer)) == (2, MAX_BUFFERED + 1 - MAX_BUFFERED // 2)
    assert driven.sync.snapshot(snapshot(100)) == []
    assert driven.sync.snapshot(snapshot(MAX_BUFFERED - 1))[-1].last_id == MAX_BUFFERED + 1


@given(st.integers(0, 2**32), st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0, 0.3))
def test_whatever_is_lost_doubled_or_late_no_wrong_book_is_published(seed, lose, double, late):
    """After each published event the followed book equals the true book at that id."""
    chance = random.Random(seed)
    stream, n = [], 0
    while n < 120:
        size = chance.randint(1, 3)
        stream.append(delta(n + 1, n + size))
        n += size
    sent = [d for d in stream if chance.random() >= lose]
    sent = [d for d in sent for _ in range(1 + (chance.random() < double))]
    for i in range(len(sent) - 1):
        if chance.random() < late:
            sent[i], sent[i + 1] = sent[i + 1], sent[i]
    driven, book, answered, published = Driven(), BookBuilder(), 0, 0
    for each in sent:
        events = driven.sync.delta(each)
        if answered < driven.asked and chance.random() < 0.5:
            answered += 1
            events += driven.sync.snapshot(snapshot(max(1, each.last_id + chance.randint(-6, 2))))
        for event in events:
            assert book.apply(event)
            published += 1
            assert dict(book.bids(9)) == dict(snapshot(event.last_id).bids)
    assert driven.asked - answered <= 1
    assert published or driven.sync.last_id is None
