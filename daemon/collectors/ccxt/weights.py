"""How requests are counted: a request weighs as many milliseconds as ccxt would make the next one wait."""

import math
from typing import Final

WINDOW: Final = 10.0
"""Seconds over which requests are counted; ccxt spaces them evenly, we let as many pass at once as fit in here."""
CAPACITY: Final = int(WINDOW * 1_000 * 0.9)
"""Milliseconds of requests in a window; the rest is for other programs on the address."""


def weight(cost: float | None, rate_limit: float) -> int:
    """Return the weight of a request of ccxt's cost, on an exchange with so many milliseconds between requests."""
    return min(max(1, math.ceil((1 if cost is None else cost) * rate_limit)), CAPACITY)
