"""Migrations are applied once, in order, whoever starts when; what does not fit is refused with a sentence."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from bus.errors import ConfigError, StoreUnavailable
from migrations.runner import FOLDER, capabilities, migrate, migrations, status

TABLES = {
    "trades", "tickers", "book_snapshots", "book_deltas", "candles", "funding_rates", "open_interest", "liquidations",
    "mark_prices", "instruments", "feed_gaps", "quality_flags", "dead_letters", "command_log", "config_versions",
    "tasks", "stream_offsets", "latest_prices", "candles_5m", "candles_15m", "candles_1h", "candles_4h", "candles_1d",
    "feed_completeness",
}  # fmt: skip
MARKET = {
    "trades", "tickers", "book_snapshots", "book_deltas", "candles", "funding_rates", "open_interest", "liquidations",
    "mark_prices", "instruments", "feed_gaps", "quality_flags", "latest_prices", "candles_5m", "candles_15m",
    "candles_1h", "candles_4h", "candles_1d", "feed_completeness",
}  # fmt: skip


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def files(folder: Path, **named: str) -> Path:
    for name, text in named.items():
        (folder / f"{name[1:]}.sql").write_text(text)
    return folder


def test_the_files_are_numbered_without_a_hole_and_ask_for_what_exists():
    found = migrations()
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert {migration.need for migration in found} == {"", "timescaledb", "timescaledb-community"}


async def test_from_empty_every_name_is_there_and_a_second_time_nothing_happens(database: str):
    assert await migrate(database)
    sql = await asyncpg.connect(database)  # a new connection: an extension may have come meanwhile
    names = await sql.fetch("select relname from pg_class where relnamespace = 'public'::regnamespace")
    assert {row["relname"] for row in names} >= TABLES
    for name in sorted(MARKET):
        columns = {
            row["attname"]: row["type"]
            for row in await sql.fetch(
                "select attname, atttypid::regtype::text as type from pg_attribute "
                "where attrelid = $1::regclass and attnum > 0",
                name,
            )
        }
        assert columns["ts"] == "timestamp with time zone", name
        assert {"exchange", "symbol"} <= columns.keys(), name
        assert {columns[c] for c in ("price", "amount", "open", "volume", "mark", "rate") if c in columns} <= {
            "numeric"
        }
    assert await migrate(database) == []
    has = await capabilities(sql)
    assert {state.state for state in await status(database)} == {"applied"} | ({"skipped"} if len(has) < 3 else set())
    await sql.close()


async def test_with_timescaledb_tables_are_compressed_hypertables_that_lose_nothing(database: str, sql):
    applied = await migrate(database)
    if not await sql.fetchval("select exists (select from pg_extension where extname = 'timescaledb')"):
        assert not {"0003 timescale", "0004 compression"} & set(applied)
        return
    assert len(applied) == len(migrations())
    rows = await sql.fetch("select hypertable_name, compression_enabled from timescaledb_information.hypertables")
    assert {row["hypertable_name"] for row in rows if row["compression_enabled"]} == {
        "trades", "tickers", "book_snapshots", "book_deltas", "candles", "mark_prices", "funding_rates",
        "open_interest", "liquidations",
    }  # fmt: skip
    jobs = await sql.fetch("select proc_name from timescaledb_information.jobs where job_id >= 1000")
    assert {row["proc_name"] for row in jobs} == {
        "policy_compression", "policy_refresh_continuous_aggregate",
    }, "nothing may be deleted by itself"  # fmt: skip


async def test_daemons_that_start_at_once_migrate_once(database: str, sql):
    results = await asyncio.gather(*[migrate(database) for _ in range(4)])
    applied = [name for result in results for name in result]
    assert applied
    assert sorted(applied) == sorted(set(applied))
    assert await sql.fetchval("select count(*) from schema_migrations") == len(applied)


async def test_a_changed_file_is_refused_by_name(database: str, tmp_path: Path):
    folder = files(tmp_path, _0001_one="create table one ();", _0002_two="create table two ();")
    await migrate(database, folder)
    files(tmp_path, _0002_two="create table two (more int);")
    with pytest.raises(ConfigError, match="0002 two was changed"):
        await migrate(database, folder)


async def test_a_database_of_a_newer_marketd_is_refused(database: str, tmp_path: Path):
    await migrate(database, files(tmp_path, _0001_one="select 1;", _0002_two="select 1;"))
    (tmp_path / "0002_two.sql").unlink()
    with pytest.raises(ConfigError, match="0002 two, which this marketd does not know"):
        await migrate(database, tmp_path)


async def test_a_broken_file_is_rolled_back_whole_and_named(database: str, sql, tmp_path: Path):
    folder = files(tmp_path, _0001_one="create table one ();", _0002_two="create table two (); select nonsense;")
    with pytest.raises(StoreUnavailable, match=r"0002 two failed and was rolled back.*nonsense"):
        await migrate(database, folder)
    assert await sql.fetchval("select to_regclass('one') is not null and to_regclass('two') is null")
    files(tmp_path, _0002_two="create table two ();")
    assert await migrate(database, folder) == ["0002 two"]


async def test_status_changes_nothing(database: str, sql):
    before = {state.state for state in await status(database)}
    assert "applied" not in before
    assert await sql.fetchval("select to_regclass('schema_migrations') is null")


async def test_a_file_waits_for_what_it_requires(database: str, sql, tmp_path: Path):
    folder = files(
        tmp_path, _0001_later="-- requires: timescaledb\ncreate table later ();", _0002_now="create table now ();"
    )
    applied = await migrate(database, folder)
    timescale = await sql.fetchval("select exists (select from pg_extension where extname = 'timescaledb')")
    assert applied == (["0001 later", "0002 now"] if timescale else ["0002 now"])
    assert (await status(database, folder))[0].state == ("applied" if timescale else "skipped")


async def test_a_filled_plain_database_becomes_hypertables_in_place(database: str, sql, tmp_path: Path):
    core = {f"_{path.stem}": path.read_text() for path in FOLDER.glob("000[12]_*.sql")}
    await migrate(database, files(tmp_path, **core))
    await sql.execute("insert into md.instruments (exchange, symbol) values ('x', 'BTC/USDT')")
    await sql.execute(
        "insert into md.trades select 1, timestamptz '2024-08-01' + n * interval '1 hour', n::text, n, 1, "
        "'buy', n, 'ws' from generate_series(1, 200) n"
    )
    before = await sql.fetch("select * from trades order by ts")
    await migrate(database)
    again = await asyncpg.connect(database)
    assert await again.fetch("select * from trades order by ts") == before
    await again.close()


async def test_a_database_that_is_away_is_told_without_its_password():
    for call in (migrate, status):
        with pytest.raises(StoreUnavailable) as caught:
            await call("postgresql://nobody:hunter2@127.0.0.1:1/none")
        assert "hunter2" not in str(caught.value)
