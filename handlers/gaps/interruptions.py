"""Feeds without continuous ids: a disconnection or a silence is itself the gap, from the last event to the next one.

Reports about feeds travel on another stream than the events, and either may be read before the other. Reports are
therefore kept until an event received after them is read; one that comes late is laid against the last silence.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bus.clock import SECOND
from bus.events import Feed, MarketEvent

SILENCE: Final = SECOND // 10
"""No connection is lost and made again within this time: shorter pauses are not remembered."""
REPORTS_KEPT: Final = 100
LEAP: Final = 60 * SECOND
"""Times that go back by more than this had leapt ahead: what came after is not measured by them."""


APART: Final = 3_600 * SECOND
"""An exchange's time that is farther than this from ours is wrong, and would make a gap of years."""


def sound_time(ts: int | None, recv: int, apart: int = APART) -> int:
    """Return when an event was (ns): the exchange's time, or that of receipt where there is none or it is wrong."""
    return recv if ts is None or abs(ts - recv) > apart else ts


class Interval(NamedTuple):
    """A time in which events may be missing (ns, the events' own times), and why."""

    start: int
    end: int
    reason: str


@dataclass
class Interruption:
    """One feed's newest event, and the interruptions reported that no event has ended yet."""

    ts: int
    """Time of the newest event (ns; the exchange's, else of receipt)."""
    recv: int
    reports: list[tuple[int, str]] = field(default_factory=list)
    """When (ns, our clock, rising) and why the feed was interrupted."""
    settled: int = 0
    """What was reported up to this time (ns, our clock) has had its interval told."""
    silence: tuple[int, int, int, int] | None = None
    """The last pause: receive times and event times of the events before and after it."""

    def report(self, feed: Feed) -> Interval | None:
        """Note what the collector says of the feed; return the interval if its end has been read already."""
        newest = self.reports[-1][0] if self.reports else self.settled
        if feed.state == "live" or feed.ts <= newest:
            return None
        reason = feed.reason or ("collection was interrupted" if feed.state == "connecting" else feed.state)
        if feed.ts <= self.recv:
            return self._past(feed.ts, reason)
        del self.reports[REPORTS_KEPT - 1 :]
        self.reports.append((feed.ts, reason))
        return None

    def _past(self, moment: int, reason: str) -> Interval:
        """Return the pause that a moment lies in; when that is not remembered, all that it may have been."""
        if self.silence is not None and self.silence[0] < moment <= self.silence[1]:
            self.settled = self.silence[1]
            return Interval(self.silence[2], self.silence[3], reason)
        self.settled = self.recv
        return Interval(moment, max(moment, self.ts), reason)

    def take(self, event: MarketEvent) -> Interval | None:
        """Note an event; return the interval that it ends."""
        recv = event.recv
        if recv <= self.recv:
            return None
        at = sound_time(event.ts, recv)
        later = at if at < self.ts - LEAP else max(self.ts, at)
        start = self.ts if self.ts <= later else later - (recv - self.recv)
        ended = None
        if self.reports and recv >= self.reports[0][0]:
            ended = Interval(start, later, self.reports[0][1])
            self.reports = [report for report in self.reports if report[0] > recv]
            self.settled = recv
        if recv - self.recv >= SILENCE:
            self.silence = (self.recv, recv, start, later)
        self.recv, self.ts = recv, later
        return ended
