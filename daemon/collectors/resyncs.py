"""When feeds that break are subscribed to anew: at once, and ever more rarely while they go on breaking."""

from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Final

from bus.clock import Clock
from daemon.exchanges.base import FeedKey

PAUSE: Final = 30.0
"""Seconds between the first two subscriptions that a feed's breaks cause; each further one waits twice as long."""
LONGEST: Final = 300.0
"""Seconds between two of them at most, and of calm after which the next break is a first one."""


class Resyncs:
    """The feeds of one connection, or of one exchange. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._last: dict[FeedKey, tuple[float, float]] = {}
        """When each was subscribed to anew last, and how long the next time has to wait from then."""
        self._later: dict[FeedKey, float] = {}

    def asked(self, feed: FeedKey, now: float) -> None:
        """Note that a feed is subscribed to anew, for whatever reason."""
        last, pause = self._last.get(feed, (-inf, PAUSE))
        self._last[feed] = now, PAUSE if now - last > LONGEST else min(2 * pause, LONGEST)
        self._later.pop(feed, None)

    def broke(self, feed: FeedKey, now: float) -> bool:
        """Tell whether a feed that broke is to be subscribed to at once; if not it will be `due`."""
        last, pause = self._last.get(feed, (-inf, PAUSE))
        if now - last > pause:
            return True
        self._later.setdefault(feed, last + pause)
        return False

    def settled(self, feeds: Iterable[FeedKey]) -> None:
        """Note that nothing is wanted any more: they deliver, or nobody wants them."""
        if self._later:
            for feed in feeds:
                self._later.pop(feed, None)

    def due(self, now: float) -> list[FeedKey]:
        """Return the feeds whose time has come."""
        return [feed for feed, at in self._later.items() if now >= at]


class WrongBooks:
    """The books of one exchange that somebody who follows them found wrong, though no number shows it.

    `begin` has one begin anew, and takes the reason; it returns whether there was anything to begin.
    """

    def __init__(self, clock: Clock, begin: Callable[[FeedKey, str], Awaitable[bool]]) -> None:
        self._clock = clock
        self._begin = begin
        self._resyncs = Resyncs()

    async def found(self, feed: FeedKey, reason: str) -> None:
        """Have a book begin anew, later when it has just done so."""
        if self._resyncs.broke(feed, self._clock.monotonic()):
            await self._now(feed, reason)

    async def look(self) -> None:
        """Have those begin whose time has come."""
        for feed in self._resyncs.due(self._clock.monotonic()):
            await self._now(feed, "it went wrong again soon after it had begun anew")

    async def _now(self, feed: FeedKey, reason: str) -> None:
        self._resyncs.settled([feed])
        if await self._begin(feed, reason):
            self._resyncs.asked(feed, self._clock.monotonic())
