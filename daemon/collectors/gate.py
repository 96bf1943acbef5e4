"""What stands before every request and connection to one exchange, and what its refusals (429, 418) mean for all."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import structlog

from bus.clock import SECOND, Clock
from daemon.resilience.breaker import CircuitBreaker
from daemon.resilience.limiter import WeightLimiter
from daemon.resilience.window import WindowLimiter

log = structlog.get_logger(__name__)

TOO_MANY: Final = 429
BANNED: Final = 418


class Gate:
    """The limits and breakers of one (exchange, address), shared by everything that talks to it."""

    def __init__(
        self,
        exchange: str,
        weight: WeightLimiter,
        connects: WindowLimiter,
        rest: CircuitBreaker,
        websocket: CircuitBreaker,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self.weight = weight
        self.connects = connects
        self.rest = rest
        self.websocket = websocket

    async def obey(self, status: int, headers: Mapping[str, str]) -> None:
        """Do what an answer of 429 (pause) or 418 (no request at all until the deadline) demands; ignore others."""
        seconds = retry_after(headers.get("Retry-After", ""), self._clock.now())
        if status == TOO_MANY:
            self.weight.pause(seconds)
            log.warning("the exchange asks us to slow down", exchange=self._exchange, seconds=seconds)
        elif status == BANNED:
            until = await self.weight.ban(seconds)
            log.error("banned by the exchange: no request until the deadline", exchange=self._exchange, until=until)
            self.open_until(until)

    def open_until(self, until: int) -> None:
        """Open both breakers until a ban ends (wall clock, ns)."""
        for breaker in (self.rest, self.websocket):
            breaker.open_until(until, "the exchange has banned this address")


def retry_after(value: str, now: int) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), None without a usable one."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now / SECOND)
    except ValueError:
        return None
