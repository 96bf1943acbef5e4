"""Staleness of one feed: against its floor, its own habits, and what is our own doing."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.collectors.watch import FLOOR, MOST_DOUBLINGS, FeedWatch
from daemon.exchanges.base import FeedKey

TICKER = FeedKey("AAA/USD", "ticker")
NEVER = -1.0


def busy(pauses, key=TICKER):
    watch, now = FeedWatch(key), 0.0
    watch.subscribed = now
    for pause in pauses:
        now += pause
        watch.data(now, NEVER)
    return watch, now


def test_a_feed_that_never_spoke_is_stale_from_its_subscription_on():
    watch = FeedWatch(TICKER)
    assert not watch.is_stale(1e9, NEVER)  # not subscribed: it owes nothing
    watch.subscribed = 100.0
    assert not watch.is_stale(100 + FLOOR["ticker"], NEVER)
    assert watch.is_stale(100.1 + FLOOR["ticker"], NEVER)


def test_a_feed_that_pauses_long_by_habit_is_not_stale_after_such_a_pause():
    watch, now = busy([600.0] * 40)
    assert not watch.is_stale(now + 1200, NEVER)
    assert watch.is_stale(now + 6000, NEVER)


def test_bursts_do_not_hide_the_pauses_between_them():
    watch, now = busy(([0.01] * 50 + [300.0]) * 5)
    assert not watch.is_stale(now + 600, NEVER)


def test_a_busy_feed_is_stale_soon_after_its_floor():
    watch, now = busy([0.05] * 1_000)
    assert watch.allowed == FLOOR["ticker"]
    assert watch.is_stale(now + FLOOR["ticker"] + 1, NEVER)


def test_pauses_are_learnt_across_a_subscription_sent_again():
    watch, now = busy([1.0] * 5)
    watch.subscribed = now + 400.0
    watch.data(now + 600.0, NEVER)
    assert watch.allowed > FLOOR["ticker"]


def test_a_time_when_we_did_not_listen_neither_ages_nor_teaches():
    watch, now = busy([0.1] * 100)
    resumed = now + 500.0
    assert not watch.is_stale(resumed + 50, resumed)
    watch.data(resumed + 1, resumed)
    assert watch.allowed == FLOOR["ticker"]


def test_each_subscription_sent_in_vain_doubles_the_patience_up_to_a_bound_until_data_comes():
    watch, _ = busy([0.1])
    patience = []
    for tries in range(8):
        watch.tries = tries
        patience.append(watch.allowed / FLOOR["ticker"])
    assert patience == [1, 2, 4, 8, 16, 32, 32, 32]
    assert 2**MOST_DOUBLINGS == 32
    watch.data(0.3, NEVER)
    assert watch.allowed == FLOOR["ticker"]


@given(st.lists(st.floats(0, 1e5), max_size=100))
def test_patience_is_never_under_the_floor_and_always_finite(pauses):
    watch, _ = busy(pauses)
    assert FLOOR["ticker"] <= watch.allowed <= 1e7
