"""How long to wait before the next attempt: full-jitter exponential back-off.

Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
"""

from random import Random


class Backoff:
    """Counts failures in a row and draws the next wait uniformly from 0 to a bound that doubles with each."""

    def __init__(self, random: Random, *, first: float = 0.5, longest: float = 60.0, least: float = 0.0) -> None:
        """`first`, `longest`: bounds in seconds of the first and of the longest wait; `least`: never less than this."""
        self._random = random
        self._first = first
        self.longest = longest
        self._least = least
        self.failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        bound = min(self.longest, self._first * 2 ** min(self.failures, 30))
        self.failures += 1
        return max(self._least, self._random.uniform(0.0, bound))

    def reset(self) -> None:
        """Start again small: call it when real data has come, never for a mere connection."""
        self.failures = 0
