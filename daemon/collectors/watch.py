"""Watches how old each subscription's data is, against what that subscription normally does."""

from typing import Final, Literal

from bus.clock import Clock
from bus.events import FeedState
from daemon.exchanges.base import FeedKey

FLOOR: Final = {"ticker": 60.0, "book": 60.0, "candle": 90.0, "trade": 300.0}
"""Seconds of silence that are never strange, by channel: a quiet symbol may not trade for minutes."""
USUAL: Final = 20.0
"""Silence is strange beyond so many times the usual interval."""
LEARNING: Final = 0.05
FIRST_DATA: Final = 30.0
"""Seconds after subscribing within which a channel that always has data must deliver."""
ALWAYS_HAS_DATA: Final = frozenset({"ticker", "book"})


class FeedWatch:
    """One subscription's state. Its age counts from subscribing on, so a feed that never speaks is noticed."""

    __slots__ = ("_clock", "_usual", "key", "last", "reason", "since", "state")

    def __init__(self, key: FeedKey, clock: Clock) -> None:
        self.key = key
        self._clock = clock
        self.state: FeedState | Literal["idle"] = "idle"
        self.reason = ""
        self.since = clock.monotonic()
        self.last: float | None = None
        self._usual = 0.0

    def subscribed(self) -> None:
        """A subscription has been asked for, just now."""
        self.since = self._clock.monotonic()
        self.last = None

    def data(self, now: float) -> None:
        """Data has come."""
        if self.last is not None:
            self._usual += LEARNING * (now - self.last - self._usual)
        self.last = now

    @property
    def age(self) -> float:
        """Seconds since the last data, or since subscribing."""
        return self._clock.monotonic() - (self.since if self.last is None else self.last)

    @property
    def allowed(self) -> float:
        """Seconds of silence after which this feed is stale."""
        if self.last is None and self.key.channel in ALWAYS_HAS_DATA:
            return FIRST_DATA
        return max(FLOOR.get(self.key.channel, 300.0), USUAL * self._usual)

    @property
    def is_stale(self) -> bool:
        """Whether it has been silent for longer than it normally is."""
        return self.age > self.allowed
