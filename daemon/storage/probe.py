"""What the database is and whether it does what is asked of it, for `marketd db test`."""

from decimal import Decimal
from typing import Final

import msgspec

from bus.clock import Clock
from daemon.storage.database import connected
from migrations.runner import capabilities, status

_PRICE: Final = Decimal("0.000000000123456789")
"""What a floating-point number could not hold."""


class Found(msgspec.Struct, frozen=True):
    """What a probe has found; `migrations` is a sentence."""

    postgresql: str
    timescaledb: str
    round_trip_ms: float
    writes: bool
    migrations: str


async def probe(dsn: str, clock: Clock) -> Found:
    """Ask the server what it is, write a row and read it back. Raises StoreUnavailable."""
    async with connected(dsn) as connection:
        version = await connection.fetchval("show server_version")
        has = await capabilities(connection)
        extension = await connection.fetchval("select extversion from pg_extension where extname = 'timescaledb'")
        begun = clock.monotonic()
        await connection.fetchval("select 1")
        seconds = clock.monotonic() - begun
        async with connection.transaction():
            await connection.execute("create temporary table probe (price numeric) on commit drop")
            await connection.execute("insert into probe values ($1)", _PRICE)
            back = await connection.fetchval("select price from probe")
    licence = "with compression" if "timescaledb-community" in has else "without compression"
    timescaledb = f"TimescaleDB {extension} {licence}" if extension else "no TimescaleDB"
    return Found(version, timescaledb, seconds * 1_000, back == _PRICE, await _migrations(dsn))


async def _migrations(dsn: str) -> str:
    states = [state.state for state in await status(dsn)]
    pending = states.count("pending")
    return f"{pending} to apply, run 'marketd migrate'" if pending else f"{states.count('applied')} applied, up to date"
