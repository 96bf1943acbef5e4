"""A backup put back into an empty database: checked first, all of it or nothing, and counted afterwards."""

import asyncio
import gzip
import hashlib
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from bus.errors import Permanent, UsageError, said
from daemon.storage.backup import (
    MANIFEST,
    VERSION,
    Manifest,
    Part,
    TableCopy,
    known_tables,
    seeded_tables,
    stored_columns,
)
from daemon.storage.database import STALL, Connection, Progress, connected
from migrations.runner import migrate, migrations

_PIECE: Final = 1024 * 1024
_UNREADABLE: Final = (OSError, EOFError, tarfile.TarError, msgspec.MsgspecError, KeyError)


class DamagedBackup(Permanent):
    """A backup that is not what was written. The text says what is wrong with it."""


async def restore(dsn: str, file: Path, progress: Progress) -> Manifest:
    """Put a backup into a database without rows, creating its tables where they are missing. Progress is in rows.

    Raises UsageError when there is no such file, or the database is not empty or of an older marketd; DamagedBackup;
    StoreUnavailable.
    """
    if not await asyncio.to_thread(file.is_file):
        raise UsageError(f"there is no file {file}")
    manifest = await asyncio.to_thread(_check, file)
    await migrate(dsn)
    async with connected(dsn) as connection, connection.transaction():
        # whoever would write meanwhile waits until everything stands
        await connection.execute(f"lock table {', '.join(known_tables())} in share row exclusive mode")
        await _refuse_rows(connection)
        for table in {copy.name for copy in manifest.tables}.intersection(seeded_tables()):
            await connection.execute(f"delete from {table}")  # noqa: S608 # our own names
        total, done = sum(copy.rows for copy in manifest.tables), 0
        progress(done, total)
        with tarfile.open(file, "r:") as archive:
            for copy in manifest.tables:
                await _load(connection, archive, copy)
                done += copy.rows
                progress(done, total)
    return manifest


def _check(file: Path) -> Manifest:
    """Read everything once before anything is changed."""
    try:
        with tarfile.open(file, "r:") as archive:
            found = {}
            text = b""
            for member in archive:
                content = _read(archive, member)
                found[member.name] = hashlib.sha256(content).hexdigest()
                if member.name == MANIFEST:
                    text = content
    except _UNREADABLE as error:
        raise DamagedBackup(f"{file} cannot be read as a backup: {said(error)}") from error
    if not text:
        raise DamagedBackup(f"{file} has no manifest: it is no backup, or was cut off")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DamagedBackup(f"{file}: the manifest cannot be read: {error}") from error
    for part in (part for copy in manifest.tables for part in copy.parts):
        if found.get(part.name) != part.sha256:
            state = "is not what was written" if part.name in found else "is missing"
            raise DamagedBackup(f"{file}: the part {part.name} {state}")
    _refuse_newer(file, manifest)
    return manifest


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo | str) -> bytes:
    opened = archive.extractfile(member)
    if opened is None:
        raise tarfile.TarError(f"{member} is no file")
    return opened.read()


def _refuse_newer(file: Path, manifest: Manifest) -> None:
    own = {migration.version: migration.name for migration in migrations()}
    unknown = [f"{n:04d} {name}" for n, name in manifest.migrations.items() if own.get(n) != name]
    if manifest.version > VERSION or unknown:
        raise UsageError(
            f"{file} is of a newer marketd ({', '.join(unknown) or 'another format'}): restore it with that"
        )


async def _refuse_rows(connection: Connection) -> None:
    for table in [table for table in known_tables() if table not in seeded_tables()]:
        if await connection.fetchval(f"select exists (select from {table})"):  # noqa: S608 # our own names
            raise UsageError(f"the database holds rows already (in {table}): restore into an empty one")


async def _load(connection: Connection, archive: tarfile.TarFile, copy: TableCopy) -> None:
    missing = set(copy.columns) - set(await stored_columns(connection, copy.name))
    if missing:
        raise DamagedBackup(f"{copy.name} in the backup has columns that it should not: {', '.join(sorted(missing))}")
    schema, _, name = copy.name.partition(".")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(STALL) as deadline:

        async def rows() -> AsyncIterator[bytes]:
            for part in copy.parts:
                text = await asyncio.to_thread(_unpack, archive, part)
                for at in range(0, len(text), _PIECE):
                    deadline.reschedule(loop.time() + STALL)
                    yield text[at : at + _PIECE]

        status = await connection.copy_to_table(
            name, schema_name=schema, columns=copy.columns, source=rows(), format="text", timeout=None
        )
    if int(status.rpartition(" ")[2]) != copy.rows:
        raise DamagedBackup(
            f"{copy.name} should have {copy.rows} rows in the backup, it has {status.rpartition(' ')[2]}"
        )
    await _advance_identity(connection, copy.name)


def _unpack(archive: tarfile.TarFile, part: Part) -> bytes:
    return gzip.decompress(_read(archive, part.name))


async def _advance_identity(connection: Connection, table: str) -> None:
    """Let the next row get a number of its own."""
    column = await connection.fetchval(
        "select attname from pg_attribute where attrelid = $1::text::regclass and attidentity <> ''", table
    )
    if column is not None:
        await connection.execute(
            f"select setval(pg_get_serial_sequence('{table}', '{column}'), max({column})) from {table} "  # noqa: S608 # our own names
            f"having max({column}) is not null"
        )
