"""Where the bus and the database are: configured, those of a running daemon, or embedded ones started now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from bus.client import Client
from bus.errors import MarketdError
from bus.redis import RedisBus
from daemon.config import Config
from daemon.embedded.servers import EmbeddedServers, running_urls

EMBEDDED = "embedded"


class Urls(NamedTuple):
    """How to reach the bus and the database; they may hold passwords."""

    redis: str
    dsn: str


def configured(config: Config) -> tuple[str | None, str | None]:
    """Return the configured URLs; None for a server that marketd starts itself."""
    redis, dsn = config.bus.url.get_secret_value(), config.store.dsn.get_secret_value()
    return (None if redis == EMBEDDED else redis), (None if dsn == EMBEDDED else dsn)


def there(config: Config) -> tuple[str | None, str | None]:
    """Return the configured URLs or those of the daemon that runs now; None for a server that does not run."""
    redis, dsn = configured(config)
    if redis is not None and dsn is not None:
        return redis, dsn
    running_redis, running_dsn = running_urls(config.data_dir)
    return redis or running_redis, dsn or running_dsn


def reachable(config: Config) -> Urls:
    """Return the configured URLs or those of the daemon that runs now. Raises MarketdError when none runs."""
    redis, dsn = there(config)
    if redis is None or dsn is None:
        raise MarketdError(
            f"no marketd runs on {config.data_dir}: start one with 'marketd run', "
            "or name your own servers with bus.url and store.dsn"
        )
    return Urls(redis, dsn)


@asynccontextmanager
async def serve(config: Config, *, bus: bool = True, store: bool = True) -> AsyncIterator[Urls]:
    """Give the URLs for one command's work: of what runs, else of embedded servers started for its length."""
    redis, dsn = there(config)
    start_valkey, start_postgres = bus and redis is None, store and dsn is None
    if not (start_valkey or start_postgres):
        yield Urls(redis or "", dsn or "")
        return
    async with EmbeddedServers(config.data_dir, valkey=start_valkey, postgres=start_postgres) as servers:
        yield Urls(redis or servers.redis_url or "", dsn or servers.dsn or "")


def open_client(config: Config) -> Client:
    """Return a client of the running daemon. Raises MarketdError when none runs."""
    return Client(reachable(config).redis, prefix=config.bus.prefix, name="ctl")


@asynccontextmanager
async def open_bus(config: Config) -> AsyncIterator[RedisBus]:
    """Give the bus: the running daemon's, or that of an embedded server started for the length of the block."""
    async with serve(config, store=False) as urls:
        bus = await RedisBus.open(urls.redis, prefix=config.bus.prefix)
        try:
            yield bus
        finally:
            await bus.close()
