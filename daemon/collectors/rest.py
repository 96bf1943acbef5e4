"""Public REST calls to one exchange: within its limits, with deadlines, retried where that can help.

The order is deadline → retry → limiter → breaker permit → attempt timeout: a call that waits for its turn holds no
permit, and a call that gets no permit has not reached the exchange.
"""

import asyncio
from random import Random
from typing import Final

import aiohttp

from bus import metrics
from bus.clock import Clock
from bus.errors import ExchangeUnavailable, NotAsked, RequestRefused
from daemon.collectors.gate import Gate
from daemon.exchanges.base import Exchange, Request
from daemon.resilience.backoff import Backoff
from daemon.resilience.breaker import Permit

ATTEMPT_TIMEOUT: Final = 15.0
ATTEMPTS: Final = 4
DEADLINE: Final = 60.0
LARGEST_ANSWER: Final = 64 * 1024 * 1024
SPARE: Final = 0.5
"""Part of the request weight that calls in the background leave to books, polls and symbols."""


class RestClient:
    """GET for one exchange. One gate serves all its users, since limits are per address."""

    def __init__(
        self,
        exchange: Exchange,
        endpoint: str,
        session: aiohttp.ClientSession,
        gate: Gate,
        clock: Clock,
        random: Random,
    ) -> None:
        self._exchange = exchange
        self._endpoint = endpoint.rstrip("/")
        self._session = session
        self._gate = gate
        self._clock = clock
        self._random = random

    def url(self, request: Request) -> str:
        """Return where a request goes, without its parameters."""
        return self._endpoint + request.path

    async def get(self, request: Request, deadline: float = DEADLINE, *, background: bool = False) -> bytes:
        """Return the body of a good answer within `deadline` seconds; `background` takes only what others leave.

        Raises RequestRefused with the exchange's own message when asking again is no use, else ExchangeUnavailable.
        """
        until = self._clock.monotonic() + deadline
        try:
            async with asyncio.timeout(deadline):
                return await self._retry(request, until, SPARE if background else 0.0)
        except TimeoutError as error:
            raise self._unavailable(request, f"no answer within {deadline:g} s") from error

    async def _retry(self, request: Request, until: float, spare: float) -> bytes:
        backoff = Backoff(self._random, first=0.5, longest=15.0, least=0.05)
        while True:
            await self._gate.weight.acquire(request.weight, until - self._clock.monotonic(), spare)
            permit = self._gate.rest.permit()
            if permit is None:
                raise NotAsked(f"{self._exchange.name} {request.path}: the breaker is {self._gate.rest.words}")
            try:
                with permit:
                    return await self._attempt(request, permit)
            except ExchangeUnavailable:
                wait = backoff.next()
                if backoff.failures >= ATTEMPTS or self._clock.monotonic() + wait >= until:
                    raise
            await self._clock.sleep(wait)

    async def _attempt(self, request: Request, permit: Permit) -> bytes:
        try:
            async with (
                asyncio.timeout(ATTEMPT_TIMEOUT),
                self._session.get(self.url(request), params=dict(request.params), allow_redirects=False) as answer,
            ):
                body = await self._read(request, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # aiohttp's texts can hold the URL with its query, so only the kind of error is told
            said = (
                f"no answer within {ATTEMPT_TIMEOUT:g} s" if isinstance(error, TimeoutError) else type(error).__name__
            )
            self._count("failed")
            permit.fail(said)
            raise self._unavailable(request, said) from error
        await self._judge(request, answer, body, permit)
        return body

    async def _read(self, request: Request, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                answer.close()
                self._count("refused")
                raise RequestRefused(f"{self._exchange.name} {request.path}: the answer is over {LARGEST_ANSWER} bytes")
        return bytes(body)

    async def _judge(self, request: Request, answer: aiohttp.ClientResponse, body: bytes, permit: Permit) -> None:
        """Tell limiter, breaker and caller what the answer means. Our own bad request is nobody's failure."""
        standing = self._exchange.standing(answer.status, answer.headers, body, self._clock.now())
        await self._gate.obey(standing)
        self._count(standing.outcome)
        if standing.used is not None:
            metrics.REST_WEIGHT.labels(self._exchange.name).set(standing.used)
        if standing.outcome == "ok":
            permit.succeed()
            return
        said = f"HTTP {answer.status}: {body[:300].decode(errors='replace')}"
        if standing.outcome == "refused":
            raise RequestRefused(f"{self._exchange.name} {request.path} {dict(request.params)}: {said}")
        permit.fail(f"HTTP {answer.status}")
        raise self._unavailable(request, said)

    def _count(self, outcome: str) -> None:
        metrics.REST_REQUESTS.labels(self._exchange.name, outcome).inc()

    def _unavailable(self, request: Request, reason: str) -> ExchangeUnavailable:
        return ExchangeUnavailable(f"{self._exchange.name} {request.path}: {reason}")
