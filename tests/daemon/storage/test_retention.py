"""What is old goes, what is young stays, and what has not been compressed or exported stays however old it is."""

from datetime import timedelta
from pathlib import Path

import asyncpg

from bus.clock import ManualClock
from daemon.storage.export import export
from daemon.storage.feeds import Selection
from daemon.storage.retention import Policy, Removal, retain
from migrations.runner import capabilities
from tests.daemon.storage.rows import MINUTE, START, candles, everything, instruments, ns, trades

DAY = timedelta(days=1)
MIDNIGHT = START + 120 * MINUTE


def quiet(done: int, total: int | None) -> None:
    pass


async def count(sql: asyncpg.Connection, table: str) -> int:
    return await sql.fetchval(f"select count(*) from md.{table}")


async def run(dsn: str, policy: Policy, days_later: int = 11) -> list[Removal]:
    """Retention as it is on a day after that of START, at noon."""
    return await retain(dsn, policy, ManualClock(ns(START.replace(hour=12) + days_later * DAY)), quiet)


async def copy(dsn: str, folder: Path, **selection: object) -> None:
    await export(dsn, Selection(**selection), folder, "csv", ManualClock(), quiet)


async def test_whole_days_that_are_older_than_is_kept_go(database: str, sql: asyncpg.Connection):
    await everything(sql)
    assert await run(database, Policy({"trade": 10, "book": 30})) == [
        Removal("trades", removed=1 if "timescaledb" in await capabilities(sql) else 2),
        Removal("book_snapshots"),
        Removal("book_deltas"),
    ]
    assert await sql.fetchval("select min(ts) from md.trades") == MIDNIGHT
    assert await count(sql, "trades") == 400 - 240
    assert await count(sql, "tickers") == 300  # nobody said anything of them
    assert await run(database, Policy({"trade": 10})) == [Removal("trades")]


async def test_what_is_not_exported_as_it_stands_is_never_removed(
    database: str, sql: asyncpg.Connection, tmp_path: Path
):
    await instruments(sql)
    await trades(sql)
    await trades(sql, 50, instrument=2)
    policy = Policy({"trade": 1}, "export")
    (kept,) = await run(database, policy)
    assert (kept.removed, kept.reason) == (0, "not exported, or changed since")
    assert await count(sql, "trades") == 450
    await copy(database, tmp_path)
    # after the export a row of the one day changes, and one comes late for the other
    await sql.execute("update md.trades set price = price + 1 where id = '7' and instrument_id = 1")
    await sql.execute("insert into md.trades select instrument_id, ts, 'late', price, amount, side, recv_ns, source "
                      "from md.trades where id = '300' and instrument_id = 1")  # fmt: skip
    (kept,) = await run(database, policy)
    assert kept.kept == 2
    left = {row["instrument_id"]: row["n"] for row in await sql.fetch(
        "select instrument_id, count(*) as n from md.trades group by 1")}  # fmt: skip
    # a chunk has both symbols; on plain PostgreSQL the other one's day goes alone
    assert left == {1: 401, 2: 50} if "timescaledb" in await capabilities(sql) else {1: 401}
    await copy(database, tmp_path)
    (removal,) = await run(database, policy)
    assert (removal.kept, await count(sql, "trades")) == (0, 0)


async def test_what_waits_for_compression_is_kept_until_then(database: str, sql: asyncpg.Connection):
    await instruments(sql)
    await trades(sql)
    policy = Policy({"trade": 1}, "compression")
    (kept,) = await run(database, policy)
    assert kept.kept == 2
    assert await count(sql, "trades") == 400
    if "timescaledb" not in await capabilities(sql):
        assert kept.reason == "this server compresses nothing"
        return
    assert kept.reason == "not compressed yet"
    await sql.execute(
        "select compress_chunk(c) from show_chunks('md.trades', older_than => $1::timestamptz) c", MIDNIGHT
    )
    (removal,) = await run(database, policy)
    assert (removal.removed, removal.kept) == (1, 1)
    assert await sql.fetchval("select min(ts) from md.trades") == MIDNIGHT


async def test_compressed_chunks_can_be_exported_and_go(database: str, sql: asyncpg.Connection, tmp_path: Path):
    if "timescaledb" not in await capabilities(sql):
        await trades(sql, 0)
        return
    await instruments(sql)
    await trades(sql)
    await copy(database, tmp_path)
    await sql.execute("select compress_chunk(c) from show_chunks('md.trades') c")
    (removal,) = await run(database, Policy({"trade": 1}, "export"))
    assert (removal.removed, removal.kept) == (2, 0), "compression changes no row, and so no digest"


async def test_a_chunk_in_use_is_left_for_the_next_time(database: str, sql: asyncpg.Connection, monkeypatch):
    monkeypatch.setattr("daemon.storage.retention._LOCK_TIMEOUT", "100ms")
    await instruments(sql)
    await candles(sql)
    async with sql.transaction():
        await sql.execute("select 1 from md.candles for update")
        (removal,) = await run(database, Policy({"candle": 1}), 90)
    assert removal == Removal("candles", 0, 1 if "timescaledb" in await capabilities(sql) else 2, "in use")
    assert await count(sql, "candles") == 300
