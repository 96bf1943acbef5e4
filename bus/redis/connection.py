"""Connections to Redis: URLs in, clients with deadlines out, errors in our own words and without passwords."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from bus.errors import BusUnavailable, ConfigError, said

Client: TypeAlias = Any
"""A redis-py client that answers in bytes, which its own types cannot say."""

SCHEMES = ("redis", "rediss", "unix")
ANSWER_DEADLINE = 10.0
"""Seconds that one answer may take, beyond what a blocking read means to wait."""

_SCHEMES_HELP = "use redis://host:port, rediss://host:port or unix:///path/to/socket"


def describe(url: str) -> str:
    """Return where a URL points, without user and password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def connect(url: str) -> Client:
    """Return a client for a `redis:// rediss:// unix://` URL; it connects at its first command. Raises ConfigError."""
    if urlsplit(url).scheme not in SCHEMES:
        raise ConfigError(f"bus.url has scheme '{urlsplit(url).scheme}': {_SCHEMES_HELP}")
    # We reconnect ourselves, because what is sent again depends on what has landed.
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=5.0,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


@asynccontextmanager
async def reaching(url: str, deadline: float = ANSWER_DEADLINE) -> AsyncIterator[None]:
    """Bound what is done with the server in time (s), and turn the client's errors into BusUnavailable.

    The client's own time-outs stay off: on Python 3.11 their `wait_for` can swallow a cancellation.
    """
    try:
        async with asyncio.timeout(deadline):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise BusUnavailable(f"Redis at {describe(url)}: {said(error)}") from error


def not_permitted(error: BusUnavailable) -> bool:
    """Tell whether the server refuses this user, which waiting does not change. The cause may lie a few errors deep."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, AuthenticationError | NoPermissionError):
        cause = cause.__cause__
    return cause is not None


async def check_server(client: Client, url: str) -> None:
    """Refuse a server that throws data away, or takes none.

    Raises ConfigError when its eviction policy is not `noeviction` (https://valkey.io/topics/lru-cache/), and
    BusUnavailable when it cannot be reached or its memory is full.
    """
    async with reaching(url):
        info = await client.info("memory")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigError(
            f"Redis at {describe(url)} has maxmemory-policy {policy}, which deletes streams when memory is short: "
            "run 'CONFIG SET maxmemory-policy noeviction' and put it in its configuration"
        )
    limit = info.get("maxmemory", 0)
    used = info.get("used_memory", 0) - info.get("mem_not_counted_for_evict", 0)
    if 0 < limit < used:
        raise BusUnavailable(
            f"Redis at {describe(url)} is out of memory and refuses writes: {used} bytes are used of maxmemory "
            f"{limit}; raise it, or lower bus.max_entries"
        )
