"""The sliding window: never more than the capacity in any span, and never waiting longer than needed."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import ManualClock
from bus.errors import NotAsked, RequestRefused
from daemon.resilience.window import LONGEST_WAIT, Window, WindowLimiter

PAUSES = st.integers(0, 30 * 1024).map(lambda number: number / 1024)
"""Seconds that add up without rounding."""
STEPS = st.lists(st.tuples(PAUSES, st.integers(1, 40)), max_size=60)


@given(STEPS)
def test_no_span_ever_holds_more_than_the_capacity(steps):
    window, now, taken = Window(100), 0.0, []
    for pause, weight in steps:
        now += pause
        if window.wait(weight, now) == 0:
            window.take(weight, now)
            taken.append((now, weight))
    for end, _ in taken:
        assert sum(weight for when, weight in taken if end - 60 < when <= end) <= 100


@given(STEPS, st.integers(1, 100))
def test_after_the_wait_it_fits_and_just_before_it_did_not(steps, weight):
    window, now = Window(100), 0.0
    for pause, spent in steps:
        now += pause
        if window.wait(spent, now) == 0:
            window.take(spent, now)
    wait = window.wait(weight, now)
    if wait > 0:
        assert window.used(now) + weight > 100
    later = now + wait + 1e-6
    assert window.wait(weight, later) == 0


def test_the_exchanges_higher_count_is_taken_over_and_a_lower_one_is_not():
    window = Window(100)
    window.take(30, 0.0)
    window.observe(80, 1.0)
    assert window.used(1.0) == 80
    window.observe(5, 2.0)
    assert window.used(2.0) == 80


async def test_callers_pass_in_the_order_they_came_even_when_a_small_one_would_fit():
    clock = ManualClock()
    limiter = WindowLimiter("test", 10, clock)
    passed = []

    async def caller(name, weight):
        await limiter.acquire(weight, 1000)
        passed.append(name)

    await caller("first", 6)
    callers = [asyncio.create_task(caller("large", 9)), asyncio.create_task(caller("small", 1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert passed == ["first"]
    clock.advance(60)
    await asyncio.gather(*callers)
    assert passed == ["first", "large", "small"]


async def test_what_cannot_pass_in_time_fails_at_once_and_takes_nothing():
    limiter = WindowLimiter("test", 10, ManualClock())
    await limiter.acquire(10, 1)
    with pytest.raises(NotAsked, match="used up"):
        await limiter.acquire(1, within=59)
    assert limiter.used == 10
    with pytest.raises(RequestRefused, match="over the limit"):
        await limiter.acquire(11, within=1000)


async def test_a_cancelled_caller_lets_the_next_one_pass():
    clock = ManualClock()
    limiter = WindowLimiter("test", 1, clock)
    await limiter.acquire(1, 1)
    given_up = asyncio.create_task(limiter.acquire(1, 100))
    waiting = asyncio.create_task(limiter.acquire(1, 100))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    clock.advance(60)
    await asyncio.wait_for(waiting, 60)


async def test_who_waits_for_spare_room_passes_when_there_is_some_and_one_at_a_time_when_there_is_none_for_long():
    clock = ManualClock()
    limiter = WindowLimiter("test", 100, clock)
    await limiter.acquire(60, 1)
    passed: list[float] = []

    async def behind() -> None:
        await limiter.acquire(1, 1_000, spare=0.5)
        passed.append(clock.monotonic())

    waiting = [asyncio.create_task(behind()) for _ in range(5)]
    for _ in range(65):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance(1)
    await asyncio.gather(*waiting)
    assert passed == [LONGEST_WAIT, 2 * LONGEST_WAIT, 3 * LONGEST_WAIT, 60, 60]


async def test_who_waits_for_spare_room_is_told_when_it_will_not_come_in_time():
    limiter = WindowLimiter("test", 100, ManualClock())
    await limiter.acquire(60, 1)
    with pytest.raises(NotAsked, match="no spare room"):
        await limiter.acquire(1, LONGEST_WAIT - 1, spare=0.5)
