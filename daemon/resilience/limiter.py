"""The request weight of one exchange and address: what it allows, its pauses (429) and its bans (418).

Binance: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits
"""

from typing import Final

import structlog

from bus.clock import SECOND, Clock
from bus.errors import BusUnavailable
from bus.handler import StateStore
from daemon.resilience.window import MINUTE, WindowLimiter

DEFAULT_BAN: Final = 120.0
"""Seconds that a 418 without a deadline counts: Binance's shortest ban."""
LONGEST_BAN: Final = 3 * 86_400.0
"""Seconds that a ban counts at most: Binance's longest one. A later deadline was meant in another unit."""

_FIELD: Final = "banned_until"
log = structlog.get_logger(__name__)


class WeightLimiter(WindowLimiter):
    """Lets requests pass by weight, not at all while paused or banned; a ban survives restarts in the store.

    `key` names exchange, endpoint and our own address: bans are about that pair.
    """

    def __init__(self, key: str, weight: int, clock: Clock, store: StateStore, window: float = MINUTE) -> None:
        super().__init__(f"requests to {key}", weight, clock, window)
        self._key = f"limiter:{key}"
        self._store = store
        self._ban_ends = 0.0
        self.banned_until: int | None = None
        """When the ban ends (wall clock, ns), None when there is none."""

    async def restore(self) -> None:
        """Take over a ban from before a restart. Raises BusUnavailable."""
        saved = (await self._store.load(self._key)).get(_FIELD)
        if saved is not None and (until := int(saved)) > (now := self._clock.now()):
            self._ban_until(min(until, now + round(LONGEST_BAN * SECOND)))

    def observe(self, used: int | None) -> None:
        """Take over the exchange's own count of used weight, None when its answer said nothing about it."""
        if used is not None:
            self._window.observe(used, self._clock.monotonic())

    async def ban(self, seconds: float | None) -> int:
        """Let nothing pass until the ban (418) ends, also after a restart; return when it ends (wall clock, ns)."""
        ban = DEFAULT_BAN if seconds is None else min(seconds, LONGEST_BAN)
        until = max(self.banned_until or 0, self._clock.now() + round(ban * SECOND))
        self._ban_until(until)
        try:
            await self._store.save(self._key, {_FIELD: str(until).encode()})
        except BusUnavailable as error:
            log.warning(
                "the ban could not be saved", key=self._key, reason=str(error), fix="do not restart before it ends"
            )
        return until

    def banned_for(self) -> float:
        """Return the seconds that the ban still lasts, 0 when there is none."""
        left = max(0.0, self._ban_ends - self._clock.monotonic())
        if not left:
            self.banned_until = None
        return left

    def closed_for(self) -> float:
        """Return the seconds that a pause or ban still lasts, 0 when there is none."""
        return max(super().closed_for(), self.banned_for())

    def _ban_until(self, until: int) -> None:
        self.banned_until = until
        left = (until - self._clock.now()) / SECOND
        self._ban_ends = max(self._ban_ends, self._clock.monotonic() + left)
