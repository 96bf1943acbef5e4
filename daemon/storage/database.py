"""How the operations on the store reach it: a connection of their own, progress, and deadlines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import asyncpg

from bus.clock import MICROSECOND
from bus.errors import MarketdError, StoreUnavailable, said

Connection: TypeAlias = "asyncpg.Connection[Any]"
Progress: TypeAlias = Callable[[int, int | None], None]
"""Told how much is done of how much in all, None while that is unknown."""

CONNECT: Final = 15.0
"""Seconds for reaching the database."""
QUERY: Final = 3_600.0
"""Seconds for one statement: some read a whole table."""
STALL: Final = 120.0
"""Seconds within which a stream of rows must go on."""
FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_NO_TABLES: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
_SETTINGS: Final = {
    "application_name": "marketd storage",
    "timezone": "UTC",  # times are written out the same wherever the server stands
    "datestyle": "ISO",
    "client_connection_check_interval": "5s",  # a query whose asker has gone ends
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Give a connection. Whatever the server fails at inside the block becomes a StoreUnavailable.

    Raises MarketdError when the tables are missing, or of an older marketd.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT, command_timeout=QUERY, server_settings=_SETTINGS)
    except FAILURES as error:
        raise StoreUnavailable(f"the database cannot be reached: {said(error)}") from error
    try:
        yield connection
    except _NO_TABLES as error:
        raise MarketdError(
            f"the database lacks what this marketd needs, run 'marketd migrate' first: {error}"
        ) from error
    except FAILURES as error:
        raise StoreUnavailable(f"the database failed: {said(error)}") from error
    finally:
        connection.terminate()  # everything wanted was committed before; a cancelled query must not be waited for


@asynccontextmanager
async def snapshot(connection: Connection, *tables: str) -> AsyncIterator[None]:
    """Give one unchanging view of the database.

    The tables are locked against truncation first: TimescaleDB truncates the chunks that it compresses, which even
    a repeatable read would see as empty.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if tables:
            await connection.execute(f"lock table {', '.join(tables)} in access share mode")
        yield


async def copy_out(
    connection: Connection,
    query: str,
    *args: object,
    take: Callable[[bytes], Awaitable[None]],
    format: Literal["text", "csv"] = "text",  # noqa: A002 # as COPY calls it
) -> int:
    """Stream a query's rows to `take`, which slows the server down by being slow; return how many they were."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(STALL) as deadline:

        async def pass_on(part: bytes) -> None:
            await take(part)
            deadline.reschedule(loop.time() + STALL)

        status = await connection.copy_from_query(query, *args, output=pass_on, format=format, timeout=None)
    return int(status.rpartition(" ")[2])


def moment(ns: int) -> datetime:
    """Return a time (ns since the epoch) as the database has it, to the microsecond."""
    return _EPOCH + timedelta(microseconds=ns // MICROSECOND)


def nanoseconds(when: datetime) -> int:
    """Return a database time in ns since the epoch, exactly."""
    return (when - _EPOCH) // timedelta(microseconds=1) * MICROSECOND
