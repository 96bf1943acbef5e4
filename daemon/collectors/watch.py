"""Watches how old one subscription's data is, against what that subscription normally does."""

from typing import Final

from bus.events import FeedState
from daemon.exchanges.base import FeedKey

FLOOR: Final = {"ticker": 60.0, "book": 60.0, "candle": 90.0, "trade": 300.0, "mark_price": 60.0, "liquidation": 3600.0}
"""Seconds of silence that are never strange, by channel: a quiet symbol may not trade for minutes."""
FLOOR_OTHERS: Final = 300.0
LEAST: Final = 30.0
"""Seconds of silence that are not strange even for the busiest feed."""
WINDOW: Final = 300.0
"""Seconds over which a feed shows how busy it is."""
STRANGE: Final = 10.0
"""Silence of a busy feed is strange beyond so many times its longest pause of the last one or two windows."""
USUAL: Final = 5.0
"""Silence of any feed is not strange below so many times its usual pause."""
LEARNING: Final = 0.05
MOST_DOUBLINGS: Final = 5


class FeedWatch:
    """One subscription's state. Its age counts from subscribing on, so a feed that never speaks is noticed.

    All times are monotonic seconds. The usual pause is weighted by duration (mean square over mean): a hundred trades
    in one second followed by ten minutes of nothing are a feed that pauses for ten minutes, not for six seconds.
    """

    __slots__ = (
        "_before", "_longest", "_mean", "_square", "_window", "key", "last", "purpose", "reason", "state", "subscribed",
        "tries",
    )  # fmt: skip

    def __init__(self, key: FeedKey) -> None:
        self.key = key
        self.state: FeedState = "connecting"
        self.reason = ""
        self.purpose = ""
        """Why it is delivered where that is not a matter of course: as a stand-in for another exchange."""
        self.subscribed: float | None = None
        """When the subscription was last sent, None while there is none to wait for."""
        self.last: float | None = None
        """When data last came over the present line of connections."""
        self.tries = 0
        """Subscriptions sent again since data last came."""
        self._mean = 0.0
        self._square = 0.0
        self._window: float | None = None
        """When the present window began."""
        self._longest = 0.0
        self._before: float | None = None
        """The longest pauses of the present window and of the one before, None while there is none."""

    def data(self, now: float, resumed: float) -> None:
        """Note that data has come; pauses that began before `resumed` were our own and teach nothing."""
        if self.last is not None and self.last >= resumed:
            pause = now - self.last
            self._mean += LEARNING * (pause - self._mean)
            self._square += LEARNING * (pause * pause - self._square)
            self._longest = max(self._longest, pause)
        if self._window is None or self._window < resumed:
            self._window, self._longest = now, 0.0
        elif now - self._window > WINDOW:
            self._window, self._before, self._longest = now, self._longest, 0.0
        self.last = now
        self.tries = 0

    def ended(self) -> None:
        """Note that nobody delivers it any more: its age starts anew with the next subscription."""
        self.subscribed = self.last = self._window = self._before = None
        self._longest = 0.0

    @property
    def allowed(self) -> float:
        """Seconds of silence after which this feed is stale; doubled by each subscription sent in vain."""
        usual = self._square / self._mean if self._mean > 0 else 0.0
        floor = FLOOR.get(self.key.channel, FLOOR_OTHERS)
        if self._before is not None:
            floor = min(floor, max(LEAST, STRANGE * max(self._before, self._longest)))
        patience = max(floor, USUAL * usual)
        return float(patience * 2 ** min(self.tries, MOST_DOUBLINGS))

    def is_stale(self, now: float, resumed: float) -> bool:
        """Tell whether it has been silent for longer than it normally is."""
        if self.subscribed is None:
            return False
        since = max(self.subscribed, resumed, self.subscribed if self.last is None else self.last)
        return now - since > self.allowed
