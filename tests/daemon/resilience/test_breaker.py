"""The circuit breaker: by example for each rule, and as a state machine against its invariants."""

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.clock import SECOND, ManualClock
from daemon.resilience.breaker import BreakerSettings, CircuitBreaker


class Highest(Random):
    """Draws the highest value, so that open intervals are known."""

    def uniform(self, a, b):
        return b


SETTINGS = BreakerSettings(
    window=60, minimum_calls=4, failure_rate=0.5, probes=2, open_base=10, open_cap=40
)  # fmt: skip


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def breaker(clock, changes):
    return CircuitBreaker("binance", "rest", clock, Highest(), changes.append, SETTINGS)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.permit().fail("down")


def test_it_opens_at_the_failure_rate_but_not_before_the_minimum_of_calls(breaker, clock, changes):
    fail(breaker, 3)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"
    assert breaker.permit() is None
    assert breaker.wait() == 10
    (event,) = changes
    assert (event.exchange, event.kind, event.state, event.reason) == ("binance", "rest", "open", "down")
    assert event.until == clock.now() + 10 * SECOND


def test_failures_outside_the_window_do_not_count(breaker, clock):
    fail(breaker, 3)
    clock.advance(61)
    fail(breaker)
    assert breaker.state == "closed"


def test_a_failure_rate_under_the_threshold_keeps_it_closed(breaker):
    for _ in range(5):
        breaker.permit().succeed()
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_half_open_lets_a_fixed_number_through_and_closes_when_all_succeed(breaker, clock, changes):
    fail(breaker, 4)
    clock.advance(10)
    assert breaker.state == "half_open"
    probes = [breaker.permit(), breaker.permit()]
    assert breaker.permit() is None
    assert breaker.wait() > 0
    probes[0].succeed()
    assert breaker.state == "half_open"
    probes[1].succeed()
    assert breaker.state == "closed"
    assert [event.state for event in changes] == ["open", "half_open", "closed"]


def test_a_failed_probe_opens_it_for_longer_up_to_the_cap(breaker, clock):
    fail(breaker, 4)
    for interval in (20, 40, 40):
        clock.advance(breaker.wait())
        fail(breaker)
        assert breaker.wait() == interval


def test_cancelling_a_call_is_neutral_and_gives_the_probe_back(breaker, clock):
    fail(breaker, 4)
    clock.advance(10)
    with pytest.raises(KeyboardInterrupt), breaker.permit(), breaker.permit():
        raise KeyboardInterrupt
    assert breaker.state == "half_open"
    assert breaker.permit() is not None
    assert breaker.permit() is not None


def test_the_first_verdict_counts(breaker):
    permit = breaker.permit()
    with permit:
        permit.succeed()
        permit.fail("too late")
    fail(breaker, 3)
    assert breaker.state == "open"  # three failures of four calls: the success was counted once


def test_a_call_that_began_before_a_change_says_nothing_about_the_state_after_it(breaker, clock):
    slow = breaker.permit()
    fail(breaker, 4)
    clock.advance(10)
    assert breaker.state == "half_open"
    slow.fail("old news")
    assert breaker.state == "half_open"


def test_the_operator_overrides_it_until_reset(breaker):
    breaker.force_open("maintenance")
    assert breaker.permit() is None
    assert breaker.wait() > 0
    breaker.force_closed("must go through")
    fail(breaker, 10)
    assert breaker.state == "forced_closed"
    breaker.reset("done")
    assert breaker.state == "closed"
    fail(breaker, 3)
    assert breaker.state == "closed"


def test_a_ban_keeps_it_open_until_its_deadline(breaker, clock):
    until = clock.now() + 300 * SECOND
    breaker.open_until(until, "banned")
    assert breaker.wait() == 300
    breaker.open_until(until - 100 * SECOND, "shorter")
    clock.advance(299)
    assert breaker.permit() is None
    clock.advance(1)
    assert breaker.state == "half_open"


def test_a_jump_of_the_wall_clock_does_not_close_it(breaker, clock):
    fail(breaker, 4)
    clock.jump(86_400)
    assert breaker.state == "open"


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, verdicts, time and overrides: the promises hold at every step."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.changes = []
        self.breaker = CircuitBreaker("x", "ws", self.clock, Random(1), self.changes.append, SETTINGS)
        self.held = []
        self.probes = []

    @rule()
    def call(self):
        state, wait = self.breaker.state, self.breaker.wait()
        permit = self.breaker.permit()
        assert (permit is not None) == (wait == 0)
        if permit is not None:
            assert state not in {"open", "forced_open"}
            self.held.append(permit)
            if state == "half_open":
                self.probes.append(permit)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), verdict=st.sampled_from(["succeed", "fail", "release"]))
    def judge(self, data, verdict):
        permit = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if permit in self.probes:
            self.probes.remove(permit)
        _ = permit.fail("x") if verdict == "fail" else getattr(permit, verdict)()

    @rule(seconds=st.floats(0.1, 120))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(action=st.sampled_from(["force_open", "force_closed", "reset"]))
    def operate(self, action):
        getattr(self.breaker, action)("operator")

    @rule(seconds=st.integers(1, 600))
    def ban(self, seconds):
        self.breaker.open_until(self.clock.now() + seconds * SECOND, "ban")

    @invariant()
    def probes_are_bounded(self):
        if self.breaker.state != "half_open":
            self.probes.clear()
        assert len(self.probes) <= SETTINGS.probes

    @invariant()
    def an_open_breaker_says_when_it_may_be_tried(self):
        if self.breaker.state == "open":
            assert 0 < self.breaker.wait() <= 600 + 1e-6
            assert self.changes[-1].until > self.clock.now()

    @invariant()
    def the_last_event_is_the_state(self):
        assert self.breaker.state == (self.changes[-1].state if self.changes else "closed")


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
