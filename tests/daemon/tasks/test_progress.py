"""Rate and time left follow what is done, and what was done before says nothing about them."""

from bus.clock import ManualClock
from daemon.tasks import Progress


def test_rate_and_time_left():
    clock = ManualClock()
    progress = Progress(clock, clock.now())
    assert (progress.rate, progress.seconds_left) == (None, None)
    progress.expect(110)
    progress.skip(10)
    assert progress.rate is None
    for _ in range(10):
        clock.advance(1)
        progress.advance(2)
    assert (progress.done, progress.rate, progress.seconds_left) == (30, 2.0, 40.0)


def test_the_rate_is_that_of_the_last_half_minute():
    clock = ManualClock()
    progress = Progress(clock, clock.now())
    progress.expect(10_000)
    for _ in range(60):
        clock.advance(1)
        progress.advance(100)
    for _ in range(60):
        clock.advance(1)
        progress.advance(1)
    assert progress.rate is not None
    assert 0.9 < progress.rate < 1.1


def test_standing_still_is_told():
    clock = ManualClock()
    progress = Progress(clock, clock.now())
    progress.expect(10)
    clock.advance(1)
    progress.advance()
    early = progress.rate
    clock.advance(100)
    assert early is not None
    assert progress.rate is not None
    assert progress.rate < early
