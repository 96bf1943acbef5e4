"""The HTTP side: /metrics for Prometheus, /health and /ready for whoever decides about restarts and traffic."""

import errno
import logging
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from bus.errors import ConfigError
from daemon.config import split_address
from daemon.redact import redact

log = structlog.get_logger(__name__)

_requests_log: Final = logging.getLogger(f"{__name__}.requests")
_requests_log.addFilter(lambda record: not _is_garbage(record))

Check = Callable[[], tuple[bool, str]]
"""Whether one thing is ready, and a sentence about it. Answers at once, from what is known already."""

_PATHS: Final = "/metrics /health /ready"


class HttpServer:
    """Serves http.listen; the checks are asked anew for each request of /ready."""

    def __init__(self, listen: str, checks: Mapping[str, Check], registry: CollectorRegistry = REGISTRY) -> None:
        self._listen = listen
        self._checks = checks
        self._registry = registry
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Open the port and return its URL. Raises ConfigError when the address cannot be had."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, logger=_requests_log
        )
        await self._runner.setup()
        host, port = split_address(self._listen)
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            raise ConfigError(f"http.listen = {self._listen}: {_reason(error)}") from error
        real = self._runner.addresses[0][1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{real}"
        log.info("serving HTTP", url=url, paths=_PATHS)
        return url

    async def close(self) -> None:
        """Close the port and end what is still being answered."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _request: web.Request) -> web.Response:
        answers = {name: _ask(check) for name, check in self._checks.items()}
        ready = all(ok for ok, _ in answers.values())
        body = {
            "ready": ready,
            "checks": {name: {"ok": ok, "detail": redact(detail)} for name, (ok, detail) in answers.items()},
        }
        return web.json_response(body, status=200 if ready else 503)


def _is_garbage(record: logging.LogRecord) -> bool:
    """Whether a record is about something that was no HTTP request: any port scanner sends such, and gets a 400."""
    _, error, _ = record.exc_info or (None, None, None)
    return isinstance(error, HttpProcessingError)


def _ask(check: Check) -> tuple[bool, str]:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 # a check that fails is an answer, and the others still count
        return False, f"the check itself failed: {error!r}"


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; end the other program or set another port (0 takes any free one)"
    if error.errno in {errno.EADDRNOTAVAIL, None}:  # asyncio says so without a number from Python 3.13 on
        return "this machine has no such address; use 127.0.0.1 or 0.0.0.0"
    if error.errno == errno.EACCES:
        return "not permitted; use a port above 1023"
    return error.strerror or str(error)
