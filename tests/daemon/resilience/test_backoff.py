"""Back-off: full jitter under a doubling, capped bound."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from daemon.resilience.backoff import Backoff


class Highest(Random):
    """Draws the highest value, so that the bound itself shows."""

    def uniform(self, a, b):
        return b


def test_the_bound_doubles_up_to_the_cap_and_starts_again_after_a_reset():
    backoff = Backoff(Highest(), first=1.0, longest=10.0)
    assert [backoff.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    backoff.reset()
    assert backoff.next() == 1.0


@given(st.integers(0, 2**32), st.integers(1, 3000))
def test_every_delay_stays_between_the_least_and_the_longest(seed, failures):
    backoff = Backoff(Random(seed), first=0.5, longest=60.0, least=0.1)
    backoff.failures = failures
    assert 0.1 <= backoff.next() <= 60.0


def test_delays_of_clients_that_failed_together_spread_over_the_whole_range():
    delays = []
    for seed in range(500):
        backoff = Backoff(Random(seed), first=8.0, longest=8.0)
        delays.append(backoff.next())
    assert min(delays) < 0.5
    assert max(delays) > 7.5
