"""The weight limiter: pauses, bans, and a ban that outlives the process."""

import pytest

from bus.clock import SECOND, ManualClock
from bus.errors import BusUnavailable, ExchangeUnavailable
from bus.local import LocalState
from daemon.resilience.limiter import DEFAULT_BAN, LONGEST_BAN, WeightLimiter
from daemon.resilience.window import LONGEST_PAUSE


def limiter_on(clock, store):
    return WeightLimiter("binance", 1000, clock, store)


async def test_a_pause_lets_nothing_pass_until_it_is_over():
    clock = ManualClock()
    limiter = limiter_on(clock, LocalState())
    limiter.pause(30)
    with pytest.raises(ExchangeUnavailable):
        await limiter.acquire(1, within=29)
    clock.advance(30)
    await limiter.acquire(1, within=0)


async def test_a_shorter_pause_does_not_end_a_longer_one():
    clock = ManualClock()
    limiter = limiter_on(clock, LocalState())
    limiter.pause(30)
    limiter.pause(1)
    clock.advance(10)
    assert limiter.wait(1) == 20


async def test_a_ban_outlives_the_process_and_ends_when_the_exchange_said():
    store, clock = LocalState(), ManualClock()
    until = await limiter_on(clock, store).ban(600)
    assert until == clock.now() + 600 * SECOND
    restarted_clock = ManualClock(clock.now() + 100 * SECOND)
    restarted = limiter_on(restarted_clock, store)
    await restarted.restore()
    assert restarted.banned_until == until
    assert restarted.banned_for() == pytest.approx(500)
    with pytest.raises(ExchangeUnavailable):
        await restarted.acquire(1, within=499)
    restarted_clock.advance(500)
    await restarted.acquire(1, within=0)
    assert restarted.banned_for() == 0
    assert restarted.banned_until is None


@pytest.mark.parametrize("seconds", [1_795_318_426_046.0, float("9" * 400)], ids=["epoch ms", "no number at all"])
async def test_a_deadline_beyond_all_bounds_is_a_long_one(seconds):
    """Retry-After in another unit: one exchange waits, and nobody crashes, now or at the next start."""
    store, clock = LocalState(), ManualClock()
    limiter = limiter_on(clock, store)
    until = await limiter.ban(seconds)
    assert until == clock.now() + round(LONGEST_BAN * SECOND)
    assert limiter.banned_for() == LONGEST_BAN
    await store.save("limiter:binance", {"banned_until": str(10**30).encode()})
    restarted = limiter_on(clock, store)
    await restarted.restore()
    assert restarted.banned_until == until
    paused = limiter_on(clock, LocalState())
    paused.pause(seconds)
    assert paused.closed_for() == LONGEST_PAUSE


async def test_a_ban_that_ended_while_the_process_was_down_is_forgotten():
    store, clock = LocalState(), ManualClock()
    await limiter_on(clock, store).ban(600)
    later = limiter_on(ManualClock(clock.now() + 601 * SECOND), store)
    await later.restore()
    assert later.banned_until is None
    assert later.wait(1) == 0


async def test_a_jump_of_the_wall_clock_does_not_end_a_ban():
    clock = ManualClock()
    limiter = limiter_on(clock, LocalState())
    await limiter.ban(600)
    clock.jump(3600)
    assert limiter.banned_for() == pytest.approx(600)


async def test_a_ban_holds_even_when_it_cannot_be_saved():
    class Down(LocalState):
        async def save(self, handler, changes):
            raise BusUnavailable("no bus")

    limiter = limiter_on(ManualClock(), Down())
    await limiter.ban(None)
    assert limiter.banned_for() == DEFAULT_BAN


async def test_bans_of_other_exchanges_are_not_taken_over():
    store, clock = LocalState(), ManualClock()
    await limiter_on(clock, store).ban(600)
    other = WeightLimiter("okx", 1000, clock, store)
    await other.restore()
    assert other.banned_for() == 0


async def test_the_exchanges_count_of_used_weight_is_respected():
    limiter = limiter_on(ManualClock(), LocalState())
    limiter.observe(None)
    limiter.observe(995)
    assert limiter.used == 995
    assert limiter.wait(6) == 60
