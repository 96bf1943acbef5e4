"""Fresh databases on the servers that the store supports: plain PostgreSQL always, TimescaleDB where one is named."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

SERVERS = ("plain", "timescaledb")


def server_dsn(kind: str, plain: str) -> str:
    """The DSN of a server's maintenance database; a server that is not there skips the test."""
    if kind == "plain":
        return plain
    dsn = os.environ.get("MARKETD_TEST_TIMESCALE")
    if not dsn:
        pytest.skip("MARKETD_TEST_TIMESCALE is not set: no TimescaleDB to test with")
    return dsn


@asynccontextmanager
async def fresh_database(server: str) -> AsyncIterator[str]:
    """Give the DSN of a new database, dropped afterwards."""
    name = f"t{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"create database {name}")
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()
