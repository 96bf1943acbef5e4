"""A restored database has the same rows in every table; what is damaged or does not fit is refused."""

import io
import tarfile
from pathlib import Path

import asyncpg
import pytest

from bus.clock import ManualClock
from bus.errors import MarketdError, UsageError
from daemon.storage import backup as backups
from daemon.storage.backup import backup, known_tables
from daemon.storage.restore import DamagedBackup, restore
from migrations.runner import migrate
from tests.daemon.storage.rows import START, everything
from tests.migrations.servers import fresh_database, server_dsn


def quiet(done: int, total: int | None) -> None:
    pass


async def contents(dsn: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(dsn)
    await connection.execute("set timezone = 'UTC'")
    found = {
        table: [row[0] for row in await connection.fetch(f"select e::text from {table} e order by e::text")]
        for table in known_tables()
    }
    await connection.close()
    return found


async def test_the_tables_that_are_backed_up_are_those_that_there_are(sql: asyncpg.Connection):
    rows = await sql.fetch(
        "select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname in ('md', 'public') and c.relkind in ('r', 'p') and c.relname <> 'schema_migrations'"
    )
    assert sorted(known_tables()) == sorted(row["name"] for row in rows)


@pytest.mark.parametrize("target", ["plain", "timescaledb"])
async def test_what_is_restored_is_what_was_there_row_by_row(
    database: str, sql: asyncpg.Connection, postgres_dsn: str, tmp_path: Path, target: str, monkeypatch
):
    monkeypatch.setattr(backups, "_PART", 2_000)  # many parts
    await everything(sql)
    before = await contents(database)
    assert sum(map(len, before.values())) > 1_100
    steps: list[tuple[int, int | None]] = []
    manifest = await backup(
        database, tmp_path / "backup", ManualClock(), lambda done, total: steps.append((done, total))
    )
    rows = sum(copy.rows for copy in manifest.tables)
    assert rows == sum(map(len, before.values()))
    assert steps[-1] == (rows, rows)
    assert max(len(copy.parts) for copy in manifest.tables) > 10
    async with fresh_database(server_dsn(target, postgres_dsn)) as other:
        assert await restore(other, tmp_path / "backup", quiet) == manifest
        assert await contents(other) == before
        connection = await asyncpg.connect(other)
        # what comes next gets a number of its own
        number = await connection.fetchval(
            "insert into md.instruments (exchange, symbol) values ('new', 'A/B') returning instrument_id"
        )
        await connection.close()
        assert number == 3


async def test_a_backup_is_one_moment_while_rows_come_in(
    database: str, sql: asyncpg.Connection, other_database: str, tmp_path: Path
):
    await everything(sql)
    before = await contents(database)
    writer = await asyncpg.connect(database)
    begun = False

    def begin(done: int, total: int | None) -> None:
        nonlocal begun
        begun = True

    async def more() -> None:
        await writer.execute("insert into md.liquidations select instrument_id, ts, recv_ns + 1, id, side, price, "
                             "amount, source from md.liquidations")  # fmt: skip

    copied = backups._copy

    async def copy(connection, table, archive):
        if table == "md.trades":
            await more()
        return await copied(connection, table, archive)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups, "_copy", copy)
        await backup(database, tmp_path / "backup", ManualClock(), begin)
    await writer.close()
    assert begun
    assert len((await contents(database))["md.liquidations"]) == 6
    await restore(other_database, tmp_path / "backup", quiet)
    assert await contents(other_database) == before


@pytest.fixture
async def file(database: str, sql: asyncpg.Connection, tmp_path: Path) -> Path:
    await everything(sql)
    await backup(database, tmp_path / "backup", ManualClock(), quiet)
    return tmp_path / "backup"


async def refused(dsn: str, file: Path, error: type[MarketdError], message: str) -> None:
    """The restore fails with this, and leaves an empty database behind."""
    with pytest.raises(error, match=message):
        await restore(dsn, file, quiet)
    connection = await asyncpg.connect(dsn)
    if await connection.fetchval("select to_regclass('md.trades') is not null"):
        assert await connection.fetchval("select count(*) from md.trades") == 0
        assert await connection.fetchval("select count(*) from md.instruments") == 0
    await connection.close()


def rewrite(file: Path, change) -> None:
    """Change, leave out (None) or keep members of the archive."""
    target = io.BytesIO()
    with tarfile.open(file) as old, tarfile.open(fileobj=target, mode="w") as new:
        for member in old:
            content = change(member.name, old.extractfile(member).read())
            if content is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    file.write_bytes(target.getvalue())


async def test_a_damaged_backup_is_refused_before_anything_changes(file: Path, other_database: str):
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    await refused(other_database, file, DamagedBackup, "cannot be read|no manifest")
    file.write_bytes(b"no backup at all")
    await refused(other_database, file, DamagedBackup, "cannot be read")
    file.write_bytes(whole)
    rewrite(file, lambda name, content: content[:-1] + b"x" if name.startswith("md.trades") else content)
    await refused(other_database, file, DamagedBackup, r"md.trades/000001.gz is not what was written")
    file.write_bytes(whole)
    rewrite(file, lambda name, content: None if name.startswith("md.trades") else content)
    await refused(other_database, file, DamagedBackup, r"md.trades/000001.gz is missing")
    file.write_bytes(whole)
    rewrite(file, lambda name, content: content.replace(b'"rows": 450', b'"rows": 451'))
    await refused(other_database, file, DamagedBackup, "md.trades should have 451 rows in the backup, it has 450")


async def test_a_backup_of_a_newer_marketd_is_refused(file: Path, other_database: str):
    rewrite(file, lambda name, content: content.replace(b'"1": "core"', b'"1": "core", "999": "later"'))
    await refused(other_database, file, UsageError, "of a newer marketd .0999 later")
    with pytest.raises(UsageError, match="there is no file"):
        await restore(other_database, file.with_name("none"), quiet)


async def test_a_database_that_holds_rows_is_not_written_over(file: Path, database: str, other_database: str):
    before = await contents(database)
    with pytest.raises(UsageError, match="the database holds rows already"):
        await restore(database, file, quiet)
    assert await contents(database) == before
    await migrate(other_database)
    connection = await asyncpg.connect(other_database)
    await connection.execute("insert into stream_offsets values ('s', '1-0', 1, $1)", START)
    await connection.close()
    await refused(other_database, file, UsageError, "in public.stream_offsets")


async def test_an_older_database_can_be_backed_up_before_its_migration(
    database: str, sql: asyncpg.Connection, other_database: str, tmp_path: Path
):
    await everything(sql)
    before = await contents(database)
    await sql.execute("drop table md.exports; delete from schema_migrations where name = 'exports'")
    await backup(database, tmp_path / "backup", ManualClock(), quiet)
    await restore(other_database, tmp_path / "backup", quiet)
    assert await contents(other_database) == before


async def test_without_tables_the_way_out_is_named(other_database: str, tmp_path: Path):
    with pytest.raises(MarketdError, match="run 'marketd migrate' first"):
        await backup(other_database, tmp_path / "backup", ManualClock(), quiet)
    assert list(tmp_path.iterdir()) == []


async def test_a_backup_that_fails_leaves_no_file(database: str, sql: asyncpg.Connection, tmp_path: Path):
    await everything(sql)

    def fail(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await backup(database, tmp_path / "backup", ManualClock(), fail)
    assert list(tmp_path.iterdir()) == []
