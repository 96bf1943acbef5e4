"""Upkeep compresses what is due, makes the aggregates complete, and changes no row."""

import asyncpg

from daemon.storage.backup import known_tables
from daemon.storage.optimize import optimize
from migrations.runner import capabilities
from tests.daemon.storage.rows import everything


async def test_upkeep_changes_sizes_and_no_rows(database: str, sql: asyncpg.Connection):
    await everything(sql)
    before = [await sql.fetchval(f"select count(*) from {table}") for table in known_tables()]
    larger = await sql.fetch("select * from candles_1h order by symbol, open_ts")
    steps: list[tuple[int, int | None]] = []
    done = await optimize(database, lambda done, total: steps.append((done, total)))
    assert [await sql.fetchval(f"select count(*) from {table}") for table in known_tables()] == before
    assert await sql.fetch("select * from candles_1h order by symbol, open_ts") == larger
    assert steps[-1] == (len(steps) - 1, len(steps) - 1)
    assert [table.table for table in done.after] == [table.table for table in done.before]
    analyzed = await sql.fetchval("select count(*) from pg_stats where schemaname = 'md' and tablename = 'instruments'")
    assert analyzed > 0
    if "timescaledb-community" in await capabilities(sql):
        trades = next(table for table in done.after if table.table == "trades")
        assert trades.compressed_chunks == trades.chunks == 2
        materialized = await sql.fetchval(
            "select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "from timescaledb_information.continuous_aggregates where view_name = 'candles_1h'"
        )
        assert await sql.fetchval(f"select count(*) from {materialized}") == len(larger)
    assert done.failed == []
