"""The rate of each client: a burst, then a steady trickle, and a table that stays small."""

from hypothesis import given
from hypothesis import strategies as st

from bus.clock import ManualClock
from daemon.control.rate import BURST, CLIENTS, PER_SECOND, RateLimit


def admitted(limit: RateLimit, client: str, count: int) -> int:
    return sum(limit.take(client) == 0.0 for _ in range(count))


def test_a_burst_passes_then_a_trickle():
    clock = ManualClock()
    limit = RateLimit(clock)
    assert admitted(limit, "a", 2 * BURST) == BURST
    assert admitted(limit, "b", 1) == 1
    clock.advance(1.0)
    assert admitted(limit, "a", 2 * BURST) == PER_SECOND
    clock.advance(3600.0)
    assert admitted(limit, "a", 2 * BURST) == BURST


@given(st.lists(st.floats(0.0, 5.0), max_size=30))
def test_what_is_told_to_wait_passes_after_that_wait_and_not_before(pauses):
    clock = ManualClock()
    limit = RateLimit(clock)
    admitted(limit, "a", BURST)
    for pause in pauses:
        clock.advance(pause)
        wait = limit.take("a")
        if wait:
            clock.advance(wait * 0.9)
            assert limit.take("a") > 0.0
            clock.advance(wait * 0.1 + 1e-6)
            assert limit.take("a") == 0.0


def test_ever_new_names_share_one_rate_once_the_table_is_full():
    clock = ManualClock()
    limit = RateLimit(clock)
    passed = sum(limit.take(str(number)) == 0.0 for number in range(CLIENTS + 2 * BURST))
    assert passed == CLIENTS + BURST
    assert len(limit._full_at) == CLIENTS + 1
    clock.advance(60.0)
    assert limit.take("another") == 0.0
    assert len(limit._full_at) == 1
