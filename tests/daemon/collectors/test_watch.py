"""Staleness of one feed: against its floor, its own habits, and what is our own doing."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.collectors.watch import FLOOR, LEAST, MOST_DOUBLINGS, STRANGE, FeedWatch
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


TRADE = FeedKey("AAA/USD", "trade")


def test_a_feed_that_has_been_busy_for_minutes_is_stale_much_sooner():
    watch, now = busy([0.5] * 1_300, TRADE)
    assert watch.allowed == LEAST
    assert watch.is_stale(now + LEAST + 1, NEVER)
    watch.ended()
    assert watch.allowed == FLOOR["trade"]  # who knows how busy it is when it comes back


def test_one_pause_of_a_busy_feed_is_remembered_for_minutes():
    watch, now = busy([0.5] * 700 + [12.0] + [0.5] * 600, TRADE)
    assert watch.allowed == STRANGE * 12
    for _ in range(1_300):
        now += 0.5
        watch.data(now, NEVER)
    assert watch.allowed == LEAST


def test_a_feed_that_pauses_for_a_minute_now_and_then_keeps_its_floor():
    watch, _ = busy(([0.05] * 200 + [45.0]) * 20, TRADE)
    assert watch.allowed == FLOOR["trade"]


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
def test_patience_is_never_under_the_least_and_always_finite(pauses):
    watch, _ = busy(pauses)
    assert LEAST <= watch.allowed <= 1e7
