"""Every test here runs on plain PostgreSQL and, where one is named, on TimescaleDB."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from migrations.runner import migrate
from tests.migrations.servers import SERVERS, fresh_database, server_dsn


@pytest.fixture(params=SERVERS)
async def database(request: pytest.FixtureRequest, postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of its own for each test."""
    async with fresh_database(server_dsn(request.param, postgres_dsn)) as dsn:
        await migrate(dsn)
        yield dsn


@pytest.fixture
async def other_database(request: pytest.FixtureRequest, postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty database on plain PostgreSQL."""
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
