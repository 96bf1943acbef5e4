"""The versions of the runtime configuration, in the table `config_versions`: what was changed, by whom, over what."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from bus.errors import StoreUnavailable, UsageError, said
from daemon.config.settings import Settings

DEADLINE: Final = 20.0
"""Seconds for one exchange with the database."""
_FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_COLUMNS: Final = "version, ts, client, comment, config"
_INSERT: Final = "insert into config_versions (client, comment, config) values ($1, $2, $3::jsonb) returning version"


class VersionConflict(UsageError):
    """The configuration has another version than the one that a change was meant for."""

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(
            f"the configuration is at version {current}, not {expected}: read it with config.get and decide anew"
        )
        self.current = current


class Version(NamedTuple):
    """One version: the changeable settings, and those of file and environment that they were made over."""

    number: int
    ts: datetime
    client: str
    comment: str
    below: Settings
    settings: Settings


class Versions:
    """The table. Every method raises StoreUnavailable while the database is away."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def number(self) -> int:
        """Return the newest version's number, 0 while there is none."""
        async with _reaching():
            return int(await self._pool.fetchval("select coalesce(max(version), 0) from config_versions"))

    async def newest(self) -> Version | None:
        """Return the newest version."""
        async with _reaching():
            row = await self._pool.fetchrow(f"select {_COLUMNS} from config_versions order by version desc limit 1")  # noqa: S608 # our own columns
        return None if row is None else _version(row)

    async def get(self, number: int) -> Version:
        """Return one version. Raises UsageError where there is no such one."""
        async with _reaching():
            row = await self._pool.fetchrow(f"select {_COLUMNS} from config_versions where version = $1", number)  # noqa: S608 # as above
            if row is not None:
                return _version(row)
            known = await self._pool.fetchval("select coalesce(max(version), 0) from config_versions")
        raise UsageError(f"there is no version {number}; the newest is {known or 'none yet'}")

    async def latest(self, count: int) -> list[Version]:
        """Return the newest versions, newest first."""
        async with _reaching():
            rows = await self._pool.fetch(
                f"select {_COLUMNS} from config_versions order by version desc limit $1",  # noqa: S608 # as above
                count,
            )
        return [_version(row) for row in rows]

    async def append(self, expected: int, client: str, comment: str, below: Settings, settings: Settings) -> int:
        """Write the version that follows `expected` and return its number. Raises VersionConflict."""
        async with _reaching(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table config_versions in exclusive mode")
            current = int(await connection.fetchval("select coalesce(max(version), 0) from config_versions"))
            if current != expected:
                raise VersionConflict(expected, current)
            return int(
                await connection.fetchval(
                    _INSERT,
                    client,
                    comment,
                    json.dumps({"below": below, "settings": settings}),
                )
            )


def _version(row: "asyncpg.Record") -> Version:
    kept = json.loads(row["config"])
    return Version(row["version"], row["ts"], row["client"], row["comment"], kept["below"], kept["settings"])


@asynccontextmanager
async def _reaching() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(DEADLINE):
            yield
    except _FAILURES as error:
        raise StoreUnavailable(f"the database cannot be reached: {said(error)}") from error
