"""Every test here runs on plain PostgreSQL and, where one is named, on TimescaleDB."""

from collections.abc import AsyncIterator

import pytest

from tests.migrations.servers import SERVERS, fresh_database, server_dsn


@pytest.fixture(params=SERVERS)
async def database(request: pytest.FixtureRequest, postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty database of its own for each test."""
    async with fresh_database(server_dsn(request.param, postgres_dsn)) as dsn:
        yield dsn
