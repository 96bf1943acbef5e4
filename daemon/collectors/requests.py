"""Makes the REST calls that a translator wants made: book snapshots, the second page of something."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog

from bus.clock import Clock
from bus.errors import ExchangeUnavailable, RequestRefused
from daemon.collectors.intake import Intake
from daemon.collectors.outbox import Outbox
from daemon.collectors.rest import RestClient
from daemon.exchanges.base import Exchange, Request
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

AT_ONCE: Final = 4
DEADLINE: Final = 120.0
"""Seconds for one request, its turn at the limiter included: a full minute of weight may be used up before it."""


@dataclass
class _Trouble:
    """What failed lately: how long to wait after one more failure, and when it may be tried again (monotonic s)."""

    backoff: Backoff
    not_before: float = 0.0


class RequestWorker:
    """Empties the translator's queue. A translator asks again at once for what failed; it is made to wait for it."""

    def __init__(
        self, exchange: Exchange, rest: RestClient, intake: Intake, outbox: Outbox, clock: Clock, random: Random
    ) -> None:
        self._exchange = exchange
        self._rest = rest
        self._intake = intake
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._troubles: dict[tuple[str, str], _Trouble] = {}

    def wake(self) -> None:
        """Say that the translator may have put requests into its queue."""
        self._wake.set()

    async def run(self) -> None:
        """Make requests until cancelled; the tasks are bounded by the translator, which asks once per symbol."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                while self._exchange.requests:
                    tasks.create_task(self._serve(self._exchange.requests.popleft()))
                self._wake.clear()
                await self._wake.wait()

    async def _serve(self, request: Request) -> None:
        key = (request.kind, request.symbol)
        trouble = self._troubles.get(key)
        answered = False
        try:
            if trouble is not None:
                await self._clock.sleep(trouble.not_before - self._clock.monotonic())
            async with self._places:
                answered = await self._make(request)
        finally:
            if answered:
                self._troubles.pop(key, None)
            else:
                self._note_failure(key)
                self._exchange.failed(request)
            self._wake.set()

    def _note_failure(self, key: tuple[str, str]) -> None:
        backoff = Backoff(self._random, first=1.0, longest=60.0, least=0.2)
        trouble = self._troubles.setdefault(key, _Trouble(backoff))
        trouble.not_before = self._clock.monotonic() + trouble.backoff.next()

    async def _make(self, request: Request) -> bool:
        try:
            body = await self._rest.get(request, DEADLINE)
        except (ExchangeUnavailable, RequestRefused) as error:
            log.warning("request failed", exchange=self._exchange.name, request=request.kind, reason=str(error))
            return False
        digest = self._intake.answer(request, body, self._rest.url(request))
        await self._outbox.publish(digest.events)
        return digest.data > 0
