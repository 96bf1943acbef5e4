"""Random faults of an exchange, of all kinds together, for a while.

Every trade that it printed is a row exactly once, or in a gap that says so.
"""

import os
from collections.abc import Callable

import pytest

from tests.end_to_end.harness import Marketd, Simulated
from tests.faults.soak import soak

SECONDS = float(os.environ.get("MARKETD_TEST_CHAOS_SECONDS", "15"))


@pytest.mark.parametrize("seed", [3])
def test_after_random_faults_the_books_agree(marketd: Marketd, simulate: Callable[..., Simulated], seed: int):
    exchange = simulate(rate=400, symbols=12)
    done = soak(marketd, exchange, seconds=SECONDS, per_minute=60, seed=seed, spare=0)
    assert done.faults
    assert done.books.printed > 1_000
    assert (done.books.missing, done.books.wrong) == (0, 0)
    assert done.descriptors[-1] <= done.descriptors[0] + 10
