"""What is stored: rows, spans and ingest rates by feed; sizes and compression by table."""

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from daemon.storage.database import Connection, Progress, connected, snapshot
from daemon.storage.feeds import TABLES, EventTable, Rows, Selection, stored
from migrations.runner import capabilities


class FeedStats(msgspec.Struct, frozen=True):
    """One feed in one table: `per_second` over its span, `last_hour` in the hour up to its last row."""

    exchange: str
    symbol: str
    channel: str
    timeframe: str | None
    table: str
    rows: int
    first: datetime
    last: datetime
    per_second: Decimal
    last_hour: int


class TableStats(msgspec.Struct, frozen=True):
    """One table: bytes on disk with its indexes; `ratio` is how many times smaller what is compressed has become."""

    table: str
    bytes: int
    compressed_chunks: int | None
    chunks: int | None
    ratio: Decimal | None


class Stats(msgspec.Struct, frozen=True):
    """Everything that `data stats` shows."""

    feeds: list[FeedStats]
    tables: list[TableStats]


async def stats(dsn: str, selection: Selection, progress: Progress) -> Stats:
    """Count what is stored. Progress is in feeds. Raises StoreUnavailable."""
    async with connected(dsn) as connection:
        found = await stored(connection, selection)
        feeds = []
        for done, rows in enumerate(found):
            progress(done, len(found))
            feeds.append(await _feed(connection, rows))
        progress(len(found), len(found))
        return Stats(feeds, await tables(connection))


async def tables(connection: Connection) -> list[TableStats]:
    """Measure every table of events."""
    has = await capabilities(connection)
    return [await _table(connection, table, has) for table in TABLES]


async def _feed(connection: Connection, rows: Rows) -> FeedStats:
    hour = rows.last - timedelta(hours=1)
    row = await connection.fetchrow(
        f"select count(*) as rows, count(*) filter (where e.{rows.table.time} > $5) as last_hour "  # noqa: S608 # our own names
        f"from {rows.table.sql} e where {rows.where}",
        *rows.bounds(rows.first, rows.last + timedelta(microseconds=1)), hour,
    )  # fmt: skip
    assert row is not None
    seconds = Decimal((rows.last - rows.first) // timedelta(microseconds=1)) / 1_000_000
    rate = (row["rows"] / seconds).quantize(Decimal("0.001")) if seconds else Decimal(0)
    return FeedStats(
        rows.exchange, rows.symbol, rows.table.channel, rows.timeframe or None, rows.table.name, row["rows"],
        rows.first, rows.last, rate, row["last_hour"],
    )  # fmt: skip


async def _table(connection: Connection, table: EventTable, has: set[str]) -> TableStats:
    if "timescaledb" not in has:
        size = await connection.fetchval("select pg_total_relation_size($1::text::regclass)", table.sql)
        return TableStats(table.name, size, None, None, None)
    async with snapshot(connection):
        chunks = await connection.fetchrow(
            "select count(*) as all, count(*) filter (where is_compressed) as compressed "
            "from timescaledb_information.chunks where hypertable_schema = 'md' and hypertable_name = $1",
            table.name,
        )
        assert chunks is not None
        size = await connection.fetchval(
            "select coalesce(hypertable_size($1::text::regclass), pg_total_relation_size($1::text::regclass))",
            table.sql,
        )
        ratio = await _ratio(connection, table) if chunks["compressed"] else None
    return TableStats(table.name, size, chunks["compressed"], chunks["all"], ratio)


async def _ratio(connection: Connection, table: EventTable) -> Decimal | None:
    row = await connection.fetchrow(
        "select before_compression_total_bytes as before, after_compression_total_bytes as after "
        "from hypertable_compression_stats($1::text::regclass)",
        table.sql,
    )
    if row is None or not row["after"]:
        return None
    before, after = Decimal(row["before"]), Decimal(row["after"])
    return (before / after).quantize(Decimal("0.01"))
