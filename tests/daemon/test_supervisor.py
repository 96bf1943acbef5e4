"""The supervisor: a crash is noticed, answered alone, and the end is orderly."""

import asyncio
import os
import random
import signal

import pytest
from structlog.testing import capture_logs

from bus.clock import ManualClock
from bus.errors import BusUnavailable
from bus.metrics import TASK_RESTARTS
from daemon.resilience.backoff import Backoff
from daemon.signals import Signals
from daemon.supervisor import SETTLED, DrainStep, Supervisor


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # what is waited for has no event
            await asyncio.sleep(0)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def supervisor(clock):
    return Supervisor(clock, random.Random(1))


class Crasher:
    """A role that crashes when told to, and counts its lives."""

    def __init__(self):
        self.lives = 0
        self.crash = asyncio.Event()
        self.error: BaseException | None = RuntimeError("boom")

    async def __call__(self):
        self.lives += 1
        self.crash.clear()
        await self.crash.wait()
        if self.error is not None:
            raise self.error


async def forever():
    await asyncio.Event().wait()


async def crash_once(supervisor, role, name="role"):
    role.crash.set()
    await until(lambda: supervisor.status()[name].state == "backing off")


@pytest.mark.parametrize(("error", "traceback"), [(BusUnavailable("Redis is away"), False), (KeyError("x"), True)])
async def test_a_traceback_is_logged_of_what_is_no_mere_outage(supervisor, error, traceback):
    role = Crasher()
    role.error = error
    supervisor.start("role", role)
    await until(lambda: role.lives == 1)
    with capture_logs() as logs:
        await crash_once(supervisor, role)
    (entry,) = logs
    assert (entry["role"], entry["error"], bool(entry.get("exc_info"))) == ("role", repr(error), traceback)


async def test_a_role_that_is_removed_ends_and_is_forgotten(supervisor):
    role = Crasher()
    supervisor.start("role", role)
    supervisor.start("other", forever)
    await until(lambda: role.lives == 1)
    assert await supervisor.remove("role", "nobody")
    assert list(supervisor.status()) == ["other"]
    supervisor.start("role", role)
    await until(lambda: role.lives == 2)
    await supervisor.stop("role", "other")


@pytest.mark.parametrize("error", [RuntimeError("boom"), None, asyncio.CancelledError()])
async def test_a_role_that_ends_is_started_again_and_the_others_do_not_notice(supervisor, clock, error):
    role, other = Crasher(), Crasher()
    role.error = error
    before = TASK_RESTARTS.labels("role")._value.get()
    supervisor.start("role", role)
    supervisor.start("other", other)
    await until(lambda: role.lives == other.lives == 1)
    await crash_once(supervisor, role)
    ok, detail = supervisor.check()
    assert not ok
    assert "role is backing off" in detail
    assert "other" not in detail
    clock.advance(1)
    await until(lambda: role.lives == 2)
    assert supervisor.check() == (True, "2 roles run")
    assert supervisor.status()["role"].restarts == 1
    assert TASK_RESTARTS.labels("role")._value.get() == before + 1
    assert other.lives == 1
    await supervisor.stop("role", "other")


async def test_the_pauses_grow_and_shrink_after_a_good_run(supervisor, clock, monkeypatch):
    pauses = []
    sleep = clock.sleep

    async def noted(seconds):
        pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(clock, "sleep", noted)
    monkeypatch.setattr(random.Random, "uniform", lambda _self, _low, high: high)
    role = Crasher()
    supervisor.start("role", role)
    for life in range(1, 9):
        await until(lambda life=life: role.lives == life)
        await crash_once(supervisor, role)
        clock.advance(30)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    await until(lambda: role.lives == 9)
    clock.advance(SETTLED)
    await crash_once(supervisor, role)
    assert pauses[-1] == 0.5
    await supervisor.stop("role")


def test_jitter_covers_everything_down_to_zero():
    backoff = Backoff(random.Random(3), first=8, longest=8)
    drawn = [backoff.next() for _ in range(200)]
    assert min(drawn) < 1
    assert max(drawn) > 7
    assert max(drawn) <= 8


async def test_a_role_may_end_if_that_was_said(supervisor):
    async def once():
        pass

    supervisor.start("once", once, may_end=True)
    await until(lambda: supervisor.status()["once"].state == "ended")
    assert supervisor.check()[0]


async def test_a_role_can_be_stopped_and_started_again(supervisor):
    supervisor.start("role", forever)
    with pytest.raises(ValueError, match="runs already"):
        supervisor.start("role", forever)
    assert await supervisor.stop("role", "unknown")
    assert supervisor.status()["role"].state == "stopped"
    supervisor.start("role", forever)
    assert supervisor.check()[0]
    await supervisor.stop("role")


async def test_a_role_is_stopped_in_its_back_off_too(supervisor):
    role = Crasher()
    supervisor.start("role", role)
    await until(lambda: role.lives == 1)
    await crash_once(supervisor, role)
    assert await supervisor.stop("role")
    assert supervisor.status()["role"].state == "stopped"


async def test_the_drain_takes_its_steps_in_order_and_then_stops_the_rest(supervisor):
    taken = []

    async def collector():
        try:
            await forever()
        finally:
            taken.append("collector stopped")

    async def flush():
        taken.append("flushed")

    supervisor.start("collector", collector)
    supervisor.start("handler", forever)
    await asyncio.sleep(0)
    steps = [DrainStep("collectors", lambda: supervisor.stop("collector")), DrainStep("flush", flush)]
    assert await supervisor.drain(steps, 5, asyncio.Event())
    assert taken == ["collector stopped", "flushed"]
    assert {status.state for status in supervisor.status().values()} == {"stopped"}


async def test_a_failed_step_does_not_keep_the_others_from_being_taken(supervisor):
    taken = []

    async def fail():
        raise RuntimeError("no bus")

    async def next_step():
        taken.append("next")

    assert not await supervisor.drain([DrainStep("a", fail), DrainStep("b", next_step)], 5, asyncio.Event())
    assert taken == ["next"]


@pytest.mark.parametrize("cut", ["deadline", "second signal"])
async def test_a_drain_that_hangs_is_cut_and_everything_still_stops(supervisor, cut):
    now = asyncio.Event()
    supervisor.start("role", forever)
    drain = asyncio.create_task(supervisor.drain([DrainStep("hang", forever)], 0.02 if cut == "deadline" else 60, now))
    await asyncio.sleep(0)
    if cut == "second signal":
        now.set()
    async with asyncio.timeout(60):
        assert not await drain
    assert supervisor.status()["role"].state == "stopped"


async def test_a_role_that_ignores_its_cancellation_is_reported(supervisor, monkeypatch):
    monkeypatch.setattr("daemon.supervisor.GRACE", 0.02)
    release = asyncio.Event()

    async def stubborn():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervisor.start("stubborn", stubborn, may_end=True)
    await asyncio.sleep(0)
    assert not await supervisor.drain([], 1, asyncio.Event())
    assert supervisor.status()["stubborn"].state == "running"
    release.set()
    await until(lambda: supervisor.status()["stubborn"].state == "ended")


async def test_the_first_signal_drains_and_the_second_ends_now():
    loop = asyncio.get_running_loop()
    signals = Signals()
    signals.install(loop, (signal.SIGUSR1, signal.SIGUSR2))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(signals.drain.wait(), 60)
        assert not signals.now.is_set()
        os.kill(os.getpid(), signal.SIGUSR2)
        await asyncio.wait_for(signals.now.wait(), 60)
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.remove_signal_handler(signal.SIGUSR2)
