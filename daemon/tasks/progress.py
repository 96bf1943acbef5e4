"""How far a task is, how fast it goes, and how long it will take."""

from collections import deque
from typing import Final

from bus.clock import Clock

WINDOW: Final = 30.0
"""Seconds over which the rate is taken: long enough to be steady, short enough to follow a change."""


class Progress:
    """What a running task says of itself, in units of its own: `done` of `total`, None while that is unknown.

    `asked` is when the task was asked for (ns): what "until now" meant then it means after every restart.
    """

    def __init__(self, clock: Clock, asked: int) -> None:
        self.asked = asked
        self.done = 0
        self.total: int | None = None
        self._clock = clock
        self._marks = deque([(clock.monotonic(), 0)])

    def restart(self) -> None:
        """Count from nothing again: another attempt finds out by itself what is done."""
        self.done, self.total = 0, None
        self._marks = deque([(self._clock.monotonic(), 0)])

    def expect(self, total: int | None) -> None:
        """Say how much there is to do, what is done already included."""
        self.total = total

    def advance(self, count: int = 1) -> None:
        """Say that more is done."""
        self.at(self.done + count, self.total)

    def skip(self, count: int) -> None:
        """Say that this much was done before: it counts as done and says nothing about how fast it goes."""
        self.done += count
        self._marks = deque((when, done + count) for when, done in self._marks)

    def at(self, done: int, total: int | None) -> None:
        """Say how much is done of how much: the form in which other people's functions report."""
        self.done, self.total = done, total
        now = self._clock.monotonic()
        if now - self._marks[-1][0] >= WINDOW / 30:
            self._marks.append((now, done))
        while len(self._marks) > 1 and self._marks[0][0] < now - WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float | None:
        """Units a second over the last half minute, None before anything can be said."""
        when, done = self._marks[0]
        seconds = self._clock.monotonic() - when
        return (self.done - done) / seconds if seconds > 0 and self.done > done else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at this rate, None where nobody knows."""
        rate = self.rate
        return None if self.total is None or not rate else max(0, self.total - self.done) / rate
