"""Applies the numbered SQL files of this folder, each once, in order, in a transaction of its own.

A file may demand something of the server on its first line: `-- requires: timescaledb` or
`-- requires: timescaledb-community` (the licence with compression). It is applied as soon as the server has that.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import asyncpg
import structlog

from bus.errors import ConfigError, StoreUnavailable, said

log = structlog.get_logger(__name__)

FOLDER: Final = Path(__file__).parent
LOCK: Final = 7_262_610_471
"""Any number of our own: two daemons that start at once must not migrate at once."""
TIMEOUT: Final = 600.0
CONNECT_TIMEOUT: Final = 15.0
SOUND_COMPRESSION: Final = (2, 18, 1)
"""Before it, an insert into a compressed chunk that met a row which stood already lost the rows behind it."""
FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

Need: TypeAlias = Literal["", "timescaledb", "timescaledb-community"]
Connection: TypeAlias = "asyncpg.Connection[Any]"


@dataclass(frozen=True)
class Migration:
    """One file: its number, its name, what it needs, its text."""

    version: int
    name: str
    need: Need
    sql: str

    @property
    def checksum(self) -> str:
        """What tells whether the file was changed after it had been applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True)
class State:
    """A migration and whether it stands in the database: `applied`, `pending`, or `skipped` for want of TimescaleDB."""

    version: int
    name: str
    state: Literal["applied", "pending", "skipped"]


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """Read the files, in order."""
    found = []
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
        sql = path.read_text(encoding="utf-8")
        first = sql.partition("\n")[0]
        need = first.removeprefix("-- requires:").strip() if first.startswith("-- requires:") else ""
        found.append(Migration(int(path.name[:4]), path.stem[5:], need, sql))  # type: ignore[arg-type] # our own files
    return found


@asynccontextmanager
async def _session(dsn: str) -> AsyncIterator[Connection]:
    """Give a connection for one purpose. Raises StoreUnavailable with a sentence that holds no password."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT, command_timeout=TIMEOUT)
    except FAILURES as error:
        raise StoreUnavailable(f"the database cannot be reached: {said(error)}") from error
    try:
        yield connection
    except FAILURES as error:
        raise StoreUnavailable(f"the database failed while it was migrated: {said(error)}") from error
    finally:
        with suppress(*FAILURES):
            await connection.close(timeout=CONNECT_TIMEOUT)


async def migrate(dsn: str, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing; return the names of what was applied.

    Raises StoreUnavailable, and ConfigError when the database does not fit these files.
    """
    await _create_extension(dsn)
    async with _session(dsn) as connection:  # a new one: an extension is loaded when a connection begins
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        await connection.execute(
            "create table if not exists schema_migrations (version int4 primary key, name text not null, "
            "checksum text not null, applied_at timestamptz not null default now())"
        )
        missing = await _missing(connection, migrations(folder))
        for migration in missing:
            await _apply(connection, migration)
    return [f"{migration.version:04d} {migration.name}" for migration in missing]


async def status(dsn: str, folder: Path = FOLDER) -> list[State]:
    """Tell of every migration whether it is applied, without changing anything. Raises as `migrate`."""
    async with _session(dsn) as connection:
        exists = await connection.fetchval("select to_regclass('schema_migrations') is not null")
        rows = await connection.fetch("select version from schema_migrations") if exists else []
        done = {row["version"] for row in rows}
        has = await capabilities(connection)
        return [
            State(m.version, m.name, "applied" if m.version in done else "pending" if m.need in has else "skipped")
            for m in migrations(folder)
        ]


async def capabilities(connection: Connection) -> set[str]:
    """Return which needs of migrations this server meets."""
    version = await connection.fetchval("select extversion from pg_extension where extname = 'timescaledb'")
    if version is None:
        return {""}
    has = {"", "timescaledb"}
    if await connection.fetchval("select current_setting('timescaledb.license', true)") == "timescale":
        if tuple(map(int, re.findall(r"\d+", version)[:3])) >= SOUND_COMPRESSION:
            has.add("timescaledb-community")
        else:
            log.warning("this TimescaleDB can lose rows in compressed tables, going on without compression",
                        version=version, wanted=".".join(map(str, SOUND_COMPRESSION)))  # fmt: skip
    return has


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migrations (version, name, checksum) values ($1, $2, $3)",
                migration.version, migration.name, migration.checksum,
            )  # fmt: skip
    except FAILURES as error:
        raise StoreUnavailable(
            f"migration {migration.version:04d} {migration.name} failed and was rolled back: {error}"
        ) from error
    log.info("migration applied", version=migration.version, name=migration.name)


async def _missing(connection: Connection, known: list[Migration]) -> list[Migration]:
    rows = await connection.fetch("select version, name, checksum from schema_migrations")
    by_version = {migration.version: migration for migration in known}
    for row in rows:
        migration = by_version.get(row["version"])
        if migration is None:
            raise ConfigError(
                f"the database has migration {row['version']:04d} {row['name']}, which this marketd does not know: "
                "it was used by a newer one; run that one, or another database"
            )
        if migration.checksum != row["checksum"]:
            raise ConfigError(
                f"migration {migration.version:04d} {migration.name} was changed after it had been applied: "
                "restore the file, and put the change into a new one"
            )
    done = {row["version"] for row in rows}
    has = await capabilities(connection)
    return [migration for migration in known if migration.version not in done and migration.need in has]


async def _create_extension(dsn: str) -> None:
    """Create the extension where the server has it to offer and lets us."""
    async with _session(dsn) as connection:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        offered = await connection.fetchval(
            "select exists (select from pg_available_extensions "
            "where name = 'timescaledb' and installed_version is null)"
        )
        if not offered:
            return
        try:
            await connection.execute("create extension if not exists timescaledb")
        except asyncpg.PostgresError as error:
            log.warning("TimescaleDB is installed and cannot be used, going on with plain tables", error=str(error))
