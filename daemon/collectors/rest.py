"""Public REST calls to one exchange: within its limits, with deadlines, retried where that can help."""

import asyncio
from random import Random
from typing import Final

import aiohttp
import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import Permanent, Retryable
from daemon.exchanges.base import Request
from daemon.resilience.backoff import Backoff
from daemon.resilience.limiter import Limiter

log = structlog.get_logger(__name__)

ATTEMPT_TIMEOUT: Final = 15.0
DEADLINE: Final = 60.0
LARGEST_ANSWER: Final = 64 * 1024 * 1024
TOO_MANY: Final = 429
BANNED: Final = 418
SERVER_ERROR: Final = 500
BAN_WITHOUT_DEADLINE: Final = 120.0
WEIGHT_HEADERS: Final = ("x-mbx-used-weight-1m", "x-mbx-used-weight")


class RequestRefused(Permanent):
    """The exchange refuses the request itself: asking again is no use."""


class RequestFailed(Retryable):
    """The exchange could not be reached, or is in trouble, or wants us to wait."""


class RestClient:
    """GET for one exchange; one limiter for all its users, since limits are per address."""

    def __init__(
        self, name: str, endpoint: str, session: aiohttp.ClientSession, limiter: Limiter, clock: Clock, random: Random
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._session = session
        self._clock = clock
        self._random = random
        self.limiter = limiter

    async def get(self, request: Request, deadline: float = DEADLINE) -> bytes:
        """Return the body. Raises RequestRefused, or RequestFailed when `deadline` (s) has passed without an answer."""
        backoff = Backoff(self._random, first=0.5, longest=15.0, least=0.05)
        last: RequestFailed | None = None
        try:
            async with asyncio.timeout(deadline):
                while True:
                    await self.limiter.acquire(request.weight)
                    try:
                        return await self._attempt(request)
                    except RequestFailed as error:
                        last = error
                    await self._clock.sleep(backoff.next())
        except TimeoutError as error:
            raise RequestFailed(f"{self._name} {request.path}: no answer within {deadline:g} s ({last})") from error

    async def _attempt(self, request: Request) -> bytes:
        url = self._endpoint + request.path
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT)
        try:
            async with self._session.get(url, params=dict(request.params), timeout=timeout) as answer:
                self._observe(answer)
                body = await answer.content.read(LARGEST_ANSWER)
                if not answer.content.at_eof():
                    raise RequestRefused(f"{self._name} {request.path}: the answer is over {LARGEST_ANSWER} bytes")
                self._judge(request, answer, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            metrics.REST_REQUESTS.labels(self._name, "failed").inc()
            raise RequestFailed(f"{self._name} {request.path}: {error or type(error).__name__}") from error
        metrics.REST_REQUESTS.labels(self._name, "ok").inc()
        return body

    def _observe(self, answer: aiohttp.ClientResponse) -> None:
        for header in WEIGHT_HEADERS:
            used = answer.headers.get(header, "")
            if used.isdecimal():
                self.limiter.observe(int(used))
                metrics.REST_WEIGHT.labels(self._name).set(int(used))
                return

    def _judge(self, request: Request, answer: aiohttp.ClientResponse, body: bytes) -> None:
        if answer.status < 400:  # noqa: PLR2004 # HTTP's errors begin there
            return
        said = f"{self._name} {request.path}: HTTP {answer.status}: {body[:200].decode(errors='replace')}"
        after = answer.headers.get("Retry-After", "")
        seconds = float(after) if after.isdecimal() else None
        if answer.status == BANNED:
            self.limiter.ban(BAN_WITHOUT_DEADLINE if seconds is None else seconds)
            metrics.REST_REQUESTS.labels(self._name, "banned").inc()
            log.error("banned by the exchange: no request until the deadline", exchange=self._name, seconds=seconds)
            raise RequestFailed(said)
        if answer.status == TOO_MANY:
            self.limiter.pause(10.0 if seconds is None else seconds)
            metrics.REST_REQUESTS.labels(self._name, "limited").inc()
            raise RequestFailed(said)
        if answer.status >= SERVER_ERROR:
            metrics.REST_REQUESTS.labels(self._name, "failed").inc()
            raise RequestFailed(said)
        metrics.REST_REQUESTS.labels(self._name, "refused").inc()
        raise RequestRefused(said)
