"""Connections to Redis: URLs in, clients with deadlines out, errors in our own words and without passwords."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from bus.errors import BusUnavailable, ConfigError, said
from bus.redis.cluster import DEFAULT_PORT, ClusterClient
from bus.redis.cluster import SCHEMES as CLUSTER_SCHEMES

Client: TypeAlias = Any
"""A redis-py client that answers in bytes, which its own types cannot say."""

SCHEMES = ("redis", "rediss", "unix", *CLUSTER_SCHEMES)
ANSWER_DEADLINE = 10.0
"""Seconds that one answer may take, beyond what a blocking read means to wait."""

_SCHEMES_HELP = (
    "use redis://host:port, rediss://host:port (TLS), unix:///path/to/socket, or of a cluster "
    "redis+cluster://host:port,host:port or rediss+cluster://host:port,host:port"
)


def describe(url: str) -> str:
    """Return where a URL points, without user and password."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    named = (host if re.search(r":\d+$", host) else f"{host or 'localhost'}:{DEFAULT_PORT}" for host in hosts)
    return parts.path if parts.scheme == "unix" else ",".join(named)


def connect(url: str) -> Client:
    """Return a client for a URL of one of the SCHEMES; it connects at its first command. Raises ConfigError.

    TLS is told whom to trust in the URL: `?ssl_ca_certs=/path/of/ca.pem`, and `ssl_certfile` with `ssl_keyfile` for a
    certificate of our own; without these it trusts whom the system trusts.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ConfigError(f"bus.url has scheme '{scheme}': {_SCHEMES_HELP}")
    # We reconnect ourselves, because what is sent again depends on what has landed.
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": 5.0,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    return ClusterClient.at(url, **options) if scheme in CLUSTER_SCHEMES else _single(url, options)


def _single(url: str, options: Mapping[str, Any]) -> Client:
    """Return a client of one server. What it says of a URL's options may quote them, and they may be secret."""
    try:
        client: Client = Redis.from_url(url, **options)
        client.connection_pool.make_connection()  # it looks at its options only now
    except (ValueError, TypeError):
        given = ", ".join(name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))
        raise ConfigError(f"bus.url: one of its options ({given}) is not known, or has a wrong value") from None
    return client


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
        cause = cause.__cause__ or cause.__context__
    return cause is not None


async def check_server(client: Client, url: str) -> None:
    """Refuse a server that throws data away, or takes none.

    Raises ConfigError when its eviction policy is not `noeviction` (https://valkey.io/topics/lru-cache/), and
    BusUnavailable when it cannot be reached or its memory is full.
    """
    async with reaching(url):
        if isinstance(client, ClusterClient):
            await client.known()
            infos = [await client.info("memory", target_nodes=node) for node in client.get_primaries()]
        else:
            infos = [await client.info("memory")]
    for info in infos:
        _check_memory(info, url)


def _check_memory(info: Mapping[str, Any], url: str) -> None:
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
