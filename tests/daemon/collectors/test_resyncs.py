"""A feed that breaks is subscribed to anew at once, and ever more rarely while it goes on breaking."""

from itertools import pairwise

from daemon.collectors.resyncs import LONGEST, PAUSE, Resyncs
from daemon.exchanges.base import FeedKey

BOOK, OTHER = FeedKey("A/B", "book"), FeedKey("C/D", "book")


def test_the_first_break_is_answered_at_once_and_further_ones_wait_twice_as_long_each():
    resyncs, now, times = Resyncs(), 1_000.0, []
    for _ in range(2_000):
        if resyncs.broke(BOOK, now) or BOOK in resyncs.due(now):
            resyncs.asked(BOOK, now)
            times.append(now)
        now += 0.5
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert [round(pause) for pause in pauses[:6]] == [30, 60, 120, 240, 300, 300][: len(pauses)]
    assert len(pauses) >= 5
    assert resyncs.broke(OTHER, now), "another feed has its own turn"


def test_what_delivers_again_is_not_asked_for():
    resyncs = Resyncs()
    assert resyncs.broke(BOOK, 0)
    resyncs.asked(BOOK, 0)
    assert not resyncs.broke(BOOK, 5)
    resyncs.settled([OTHER])
    assert resyncs.due(PAUSE) == [BOOK]
    resyncs.settled([BOOK])
    assert resyncs.due(1_000) == []
    assert not resyncs.broke(BOOK, 6)
    assert (resyncs.due(PAUSE - 0.1), resyncs.due(PAUSE)) == ([], [BOOK])


def test_after_long_calm_a_break_is_a_first_one():
    resyncs = Resyncs()
    for now in (0, PAUSE + 1, PAUSE + LONGEST + 2):
        assert resyncs.broke(BOOK, now)
        resyncs.asked(BOOK, now)
    assert not resyncs.broke(BOOK, PAUSE + LONGEST + 3)
    assert resyncs.due(2 * PAUSE + LONGEST + 2) == [BOOK]
