"""What stands before every request and connection to one exchange, and what its refusals mean for all."""

import structlog

from daemon.exchanges.base import Standing
from daemon.resilience.breaker import CircuitBreaker
from daemon.resilience.limiter import WeightLimiter
from daemon.resilience.window import WindowLimiter

log = structlog.get_logger(__name__)


class Gate:
    """The limits and breakers of one (exchange, address), shared by everything that talks to it."""

    def __init__(
        self,
        exchange: str,
        weight: WeightLimiter,
        connects: WindowLimiter,
        rest: CircuitBreaker,
        websocket: CircuitBreaker,
    ) -> None:
        self._exchange = exchange
        self.weight = weight
        self.connects = connects
        self.rest = rest
        self.websocket = websocket

    async def obey(self, standing: Standing) -> None:
        """Do what the exchange demands: pause, or make no request at all until a ban ends; ignore the rest."""
        self.weight.observe(standing.used)
        if standing.outcome == "limited":
            self.weight.pause(standing.wait)
            log.warning("the exchange asks us to slow down", exchange=self._exchange, seconds=standing.wait)
        elif standing.outcome == "banned":
            until = await self.weight.ban(standing.wait)
            log.error("banned by the exchange: no request until the deadline", exchange=self._exchange, until=until)
            self.open_until(until)

    def open_until(self, until: int) -> None:
        """Open both breakers until a ban ends (wall clock, ns)."""
        for breaker in (self.rest, self.websocket):
            breaker.open_until(until, "the exchange has banned this address")
