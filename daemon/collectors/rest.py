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
from bus.errors import ExchangeUnavailable, RequestRefused
from daemon.collectors.gate import BANNED, TOO_MANY, Gate
from daemon.exchanges.base import Request
from daemon.resilience.backoff import Backoff
from daemon.resilience.breaker import Permit

ATTEMPT_TIMEOUT: Final = 15.0
ATTEMPTS: Final = 4
DEADLINE: Final = 60.0
LARGEST_ANSWER: Final = 64 * 1024 * 1024
WEIGHT_HEADERS: Final = ("x-mbx-used-weight-1m", "x-mbx-used-weight")
OK: Final = range(200, 300)
SERVER_ERROR: Final = 500


class RestClient:
    """GET for one exchange. One gate serves all its users, since limits are per address."""

    def __init__(
        self, name: str, endpoint: str, session: aiohttp.ClientSession, gate: Gate, clock: Clock, random: Random
    ) -> None:
        self._name = name
        self._endpoint = endpoint.rstrip("/")
        self._session = session
        self._gate = gate
        self._clock = clock
        self._random = random

    def url(self, request: Request) -> str:
        """Return where a request goes, without its parameters."""
        return self._endpoint + request.path

    async def get(self, request: Request, deadline: float = DEADLINE) -> bytes:
        """Return the body of a 2xx answer within `deadline` seconds.

        Raises RequestRefused with the exchange's own message when asking again is no use, else ExchangeUnavailable.
        """
        until = self._clock.monotonic() + deadline
        try:
            async with asyncio.timeout(deadline):
                return await self._retry(request, until)
        except TimeoutError as error:
            raise self._unavailable(request, f"no answer within {deadline:g} s") from error

    async def _retry(self, request: Request, until: float) -> bytes:
        backoff = Backoff(self._random, first=0.5, longest=15.0, least=0.05)
        while True:
            await self._gate.weight.acquire(request.weight, until - self._clock.monotonic())
            permit = self._gate.rest.permit()
            if permit is None:
                raise self._unavailable(request, f"the breaker is {self._gate.rest.state}")
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
                self._observe(answer)
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
                raise RequestRefused(f"{self._name} {request.path}: the answer is over {LARGEST_ANSWER} bytes")
        return bytes(body)

    def _observe(self, answer: aiohttp.ClientResponse) -> None:
        for header in WEIGHT_HEADERS:
            used = answer.headers.get(header, "")
            if used.isdecimal():
                self._gate.weight.observe(int(used))
                metrics.REST_WEIGHT.labels(self._name).set(int(used))
                return

    async def _judge(self, request: Request, answer: aiohttp.ClientResponse, body: bytes, permit: Permit) -> None:
        """Tell limiter, breaker and caller what the status means. Our own bad request is nobody's failure."""
        status = answer.status
        if status in OK:
            permit.succeed()
            self._count("ok")
            return
        said = f"HTTP {status}: {body[:300].decode(errors='replace')}"
        if status in {TOO_MANY, BANNED} or status >= SERVER_ERROR:
            permit.fail(f"HTTP {status}")
            self._count({TOO_MANY: "limited", BANNED: "banned"}.get(status, "failed"))
            await self._gate.obey(status, answer.headers)
            raise self._unavailable(request, said)
        self._count("refused")
        raise RequestRefused(f"{self._name} {request.path} {dict(request.params)}: {said}")

    def _count(self, outcome: str) -> None:
        metrics.REST_REQUESTS.labels(self._name, outcome).inc()

    def _unavailable(self, request: Request, reason: str) -> ExchangeUnavailable:
        return ExchangeUnavailable(f"{self._name} {request.path}: {reason}")
