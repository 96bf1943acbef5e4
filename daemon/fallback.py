"""While an exchange's breaker is open its symbols are taken from its fallbacks, and handed back when it is well again.

What a fallback delivers stands on the fallback's own streams: another exchange's trades are not this one's. That it
stands in is said on the system stream.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from bus import metrics
from bus.clock import Clock
from daemon.collectors.interface import Collector
from daemon.exchanges.base import FeedKey

log = structlog.get_logger(__name__)

LOOK: Final = 1.0
PATIENCE: Final = 5.0
"""Seconds that a breaker must be open: a short trip is over before another exchange delivers."""
PROVEN: Final = 60.0
"""Seconds that an exchange must have been well before its symbols are handed back, so that they do not flap."""


class StandIn(NamedTuple):
    """Who delivers a feed in place of its own exchange; `added`: for this purpose alone."""

    collector: Collector
    added: bool


class Fallback:
    """One exchange and those that stand in for it, in the order in which they are tried."""

    def __init__(self, primary: Collector, others: Mapping[str, Collector], names: Sequence[str], clock: Clock) -> None:
        self._primary = primary
        self._others = [others[name] for name in names]
        self._clock = clock
        self._changed = clock.monotonic()
        self._away = False
        self.engaged: dict[FeedKey, StandIn] = {}
        """Who delivers which feeds at present."""

    async def run(self) -> None:
        """Watch until cancelled; then nobody stands in any more."""
        try:
            while True:
                await self._look()
                await self._clock.sleep(LOOK)
        finally:
            if self.engaged:
                await self._hand_back()

    async def _look(self) -> None:
        now = self._clock.monotonic()
        away = self._primary.breakers["ws"].state not in {"closed", "forced_closed"}
        if away != self._away:
            self._away, self._changed = away, now
        lasted = now - self._changed
        if away and lasted >= PATIENCE:
            await self._stand_in()
        elif not away and lasted >= PROVEN and self.engaged:
            await self._hand_back()

    async def _stand_in(self) -> None:
        """Find somebody for each feed that nobody stands in for, or whose stand-in is in trouble itself."""
        for feed in self._primary.feeds:
            present = self.engaged.get(feed)
            if present is not None and _well(present.collector):
                continue
            chosen = next((other for other in self._others if _well(other) and not other.why_not(feed)), None)
            if chosen is None:
                continue
            await self._dismiss(feed)
            log.warning("fallback stands in", exchange=self._primary.name, fallback=chosen.name, symbol=feed.symbol)
            self.engaged[feed] = StandIn(chosen, added=feed not in chosen.feeds)
            await chosen.add([feed], f"stands in for {self._primary.name}")
        self._count()

    async def _hand_back(self) -> None:
        for feed in list(self.engaged):
            await self._dismiss(feed)
        log.info("symbols handed back", exchange=self._primary.name)
        self._count()

    async def _dismiss(self, feed: FeedKey) -> None:
        """End a stand-in; what its exchange delivers anyway stays."""
        present = self.engaged.pop(feed, None)
        if present is not None and present.added:
            await present.collector.remove([feed])

    def _count(self) -> None:
        for other in self._others:
            count = sum(present.collector is other for present in self.engaged.values())
            metrics.FALLBACK_FEEDS.labels(self._primary.name, other.name).set(count)


def _well(collector: Collector) -> bool:
    return collector.breakers["ws"].state not in {"open", "forced_open"}
