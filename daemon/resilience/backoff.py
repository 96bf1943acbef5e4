"""How long to wait before trying again: exponential, with full jitter, so that many who failed together part ways."""

import random


class Backoff:
    """Delays drawn evenly from [0, min(longest, first * 2^n)] after n failures in a row, never below `least` seconds.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """

    def __init__(self, rng: random.Random, first: float = 0.5, longest: float = 30.0, least: float = 0.0) -> None:
        self._rng = rng
        self._first = first
        self.longest = longest
        self._least = least
        self.failures = 0

    def next(self) -> float:
        """Count a failure and return the seconds to wait."""
        ceiling = min(self.longest, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return max(self._least, self._rng.uniform(0, ceiling))

    def reset(self) -> None:
        """Forget the failures: it works again. For a connection that is when real data has come, never sooner."""
        self.failures = 0
