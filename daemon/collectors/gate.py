"""What stands before every request and connection to one exchange, and what its refusals mean for all."""

from random import Random
from typing import Literal

import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import BusUnavailable
from bus.events import Breaker
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import Standing
from daemon.resilience.backoff import Backoff
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

    async def turned_away(self, standing: Standing) -> None:
        """Do what the refusal of a connection demands: connecting pauses apart from requests, a ban is of both."""
        if standing.outcome == "limited":
            self.connects.pause(standing.wait)
            log.warning("the exchange asks us to connect later", exchange=self._exchange, seconds=standing.wait)
        else:
            await self.obey(standing)

    def connect_wait(self) -> float:
        """Return the seconds after which connecting may be tried, 0 when it may now, as far as no quota is asked."""
        return max(self.websocket.wait(), self.weight.banned_for(), self.connects.closed_for())

    async def restore(self, clock: Clock, random: Random) -> None:
        """Take over a ban from before a restart, before anything is asked of the exchange."""
        backoff = Backoff(random, first=0.5, longest=10.0, least=0.1)
        while True:
            try:
                await self.weight.restore()
                break
            except BusUnavailable as error:
                log.warning("cannot read whether we are banned", exchange=self._exchange, reason=str(error))
                await clock.sleep(backoff.next())
        if self.weight.banned_until is not None:
            log.warning("still banned", exchange=self._exchange, seconds=round(self.weight.banned_for()))
            self.open_until(self.weight.banned_until)

    def open_until(self, until: int) -> None:
        """Open both breakers until a ban ends (wall clock, ns)."""
        for breaker in (self.rest, self.websocket):
            breaker.open_until(until, "the exchange has banned this address")


def make_gate(
    exchange: str, weight: WeightLimiter, connects: int, outbox: Outbox, clock: Clock, random: Random
) -> Gate:
    """Return a gate with breakers of its own, whose changes are told; `connects`: connections per minute."""

    def breaker(kind: Literal["ws", "rest"]) -> CircuitBreaker:
        def changed(event: Breaker) -> None:
            metrics.BREAKER_STATE.labels(exchange, kind).set(event.state in {"open", "forced_open"})
            outbox.say(event)

        return CircuitBreaker(exchange, kind, clock, random, changed)

    quota = WindowLimiter(f"connections to {exchange}", connects, clock)
    return Gate(exchange, weight, quota, breaker("rest"), breaker("ws"))
