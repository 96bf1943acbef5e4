"""What a refusal means for connecting and for requests: each pauses alone, a ban is of both."""

from random import Random

import pytest

from bus.clock import ManualClock
from bus.local import LocalBus, LocalState
from daemon.collectors.gate import make_gate
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import Standing
from daemon.resilience.limiter import WeightLimiter
from daemon.resilience.window import DEFAULT_PAUSE


@pytest.fixture
def gate():
    clock = ManualClock()
    weight = WeightLimiter("x:y", 1_000, clock, LocalState())
    return make_gate("x", weight, 60, Outbox(LocalBus(), clock), clock, Random(1))


async def test_a_pause_of_requests_does_not_hold_up_connecting(gate):
    await gate.obey(Standing("limited", 600.0))
    assert (gate.weight.wait(1), gate.connect_wait()) == (600.0, 0.0)


async def test_a_pause_of_connecting_does_not_hold_up_requests(gate):
    await gate.turned_away(Standing("limited"))
    assert (gate.weight.wait(1), gate.connect_wait()) == (0.0, DEFAULT_PAUSE)
    assert gate.connects.wait(1) == DEFAULT_PAUSE


@pytest.mark.parametrize("refused", ["obey", "turned_away"])
async def test_a_ban_is_of_both(gate, refused):
    await getattr(gate, refused)(Standing("banned", 300.0))
    assert (gate.weight.wait(1), gate.connect_wait()) == (300.0, 300.0)
    assert (gate.rest.state, gate.websocket.state) == ("open", "open")
