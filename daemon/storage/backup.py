"""A copy of every table in one file, and back: a tar of gzipped COPY parts with a manifest of their checksums.

It is one moment of the database, needs no program but this one, and may be restored on another kind of server: plain
PostgreSQL to TimescaleDB or back. https://www.postgresql.org/docs/current/sql-copy.html (Text Format)

    TABLE/000001.gz …   a table's rows as COPY text; the parts of a table, put together, are one stream
    manifest.json       what is in it, written last: a file without it is not whole
"""

import asyncio
import gzip
import hashlib
import io
import re
import tarfile
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from bus.clock import Clock
from daemon.storage.database import Connection, Progress, connected, copy_out, moment, snapshot
from daemon.storage.files import whole_file
from migrations.runner import migrations

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
_PART: Final = 8 * 1024 * 1024
_LEVEL: Final = 3
"""Twice as fast as gzip's default, for a tenth more bytes."""


class Part(msgspec.Struct, frozen=True):
    """A member of the archive."""

    name: str
    sha256: str


class TableCopy(msgspec.Struct):
    """A table: its columns in the order of the copy, its rows, its parts."""

    name: str
    columns: list[str]
    rows: int
    parts: list[Part]


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. `migrations` are those applied, by number: their names."""

    taken_at: datetime
    migrations: dict[int, str]
    tables: list[TableCopy]
    version: int = VERSION


def known_tables() -> list[str]:
    """Return the tables that the migrations create, in that order: what refers to others comes behind them."""
    return _named_after("create table (?:if not exists )?")


def seeded_tables() -> list[str]:
    """Return the tables that the migrations put rows into: these have some in a new database, too."""
    return _named_after("insert into ")


def _named_after(words: str) -> list[str]:
    statement = re.compile(rf"^{words}(\w+\.)?(\w+)", re.MULTILINE)
    found = [match for migration in migrations() for match in statement.findall(migration.sql)]
    return [f"{schema or 'public.'}{name}" for schema, name in found]


async def present_tables(connection: Connection) -> list[str]:
    """Return those that the database has; an older one, before its migration, lacks the newest."""
    rows = await connection.fetch(
        "select name from unnest($1::text[]) with ordinality known (name, n) where to_regclass(name) is not null "
        "order by n",
        known_tables(),
    )
    return [row["name"] for row in rows]


async def backup(dsn: str, file: Path, clock: Clock, progress: Progress) -> Manifest:
    """Write a backup. Progress is in rows. Raises StoreUnavailable, and UsageError where it cannot be written."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(dsn))
        tables = await present_tables(connection)
        await stack.enter_async_context(snapshot(connection, *tables))
        target = await stack.enter_async_context(whole_file(file))
        total = sum([await connection.fetchval(f"select count(*) from {table}") for table in tables])  # noqa: S608 # our own names
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            copies, done = [], 0
            for table in tables:
                progress(done, total)
                copies.append(await _copy(connection, table, archive))
                done += copies[-1].rows
            applied = await connection.fetch("select version, name from schema_migrations")
            manifest = Manifest(moment(clock.now()), {row["version"]: row["name"] for row in applied}, copies)
            _add(archive, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        progress(done, total)
    return manifest


async def _copy(connection: Connection, table: str, archive: tarfile.TarFile) -> TableCopy:
    columns = await stored_columns(connection, table)
    copy = TableCopy(table, columns, 0, [])
    waiting = bytearray()

    async def take(rows: bytes) -> None:
        waiting.extend(rows)
        while len(waiting) >= _PART:
            await put()

    async def put() -> None:
        name = f"{table}/{len(copy.parts) + 1:06d}.gz"
        copy.parts.append(await asyncio.to_thread(_compress, archive, name, bytes(waiting[:_PART])))
        del waiting[:_PART]

    chosen = ", ".join(f'"{column}"' for column in columns)
    copy.rows = await copy_out(connection, f"select {chosen} from {table}", take=take)  # noqa: S608 # our own names
    if waiting:
        await put()
    return copy


async def stored_columns(connection: Connection, table: str) -> list[str]:
    """Return a table's columns but those that the database computes itself."""
    rows = await connection.fetch(
        "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped "
        "and attgenerated = '' order by attnum",
        table,
    )
    return [row["attname"] for row in rows]


def _compress(archive: tarfile.TarFile, name: str, rows: bytes) -> Part:
    packed = gzip.compress(rows, _LEVEL, mtime=0)
    _add(archive, name, packed)
    return Part(name, hashlib.sha256(packed).hexdigest())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
