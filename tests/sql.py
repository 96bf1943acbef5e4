"""What stands in a database, for tests that look at it from outside."""

import asyncio
from typing import Any

import asyncpg


async def _fetch(dsn: str, query: str, arguments: tuple[Any, ...], deadline: float) -> list[asyncpg.Record]:
    async with asyncio.timeout(deadline):
        while True:
            try:
                connection = await asyncpg.connect(dsn)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)
            else:
                try:
                    return await connection.fetch(query, *arguments)
                finally:
                    await connection.close()


def rows(dsn: str, query: str, *arguments: Any, deadline: float = 60.0) -> list[asyncpg.Record]:
    """Return the rows of a query; a server that is just starting up is waited for."""
    return asyncio.run(_fetch(dsn, query, arguments, deadline))
