"""What tells whether a copy still is what stands in the database: rows and a digest of them for each UTC day."""

from collections.abc import Collection
from datetime import date, datetime

import msgspec

from daemon.storage.database import Connection
from daemon.storage.feeds import EventTable, Rows

DIGEST = "sum(hashtextextended(e::text, 0))::text"
"""Of whole rows, whatever their order; a changed value, a row more or a row less gives another sum."""


class Day(msgspec.Struct, frozen=True):
    """The rows of one feed on one UTC day."""

    rows: int
    digest: str


async def of_feed(connection: Connection, rows: Rows, start: datetime, end: datetime) -> dict[date, Day]:
    """Digest a feed's rows of a span, day by day; days without rows are left out."""
    found = await connection.fetch(
        f"select {_day(rows.table)} as day, count(*) as rows, {DIGEST} as digest "  # noqa: S608 # our own names
        f"from {rows.table.sql} e where {rows.where} group by 1 order by 1",
        *rows.bounds(start, end),
    )
    return {row["day"]: Day(row["rows"], row["digest"]) for row in found}


async def not_exported(connection: Connection, table: EventTable, start: datetime, end: datetime) -> int:
    """Count the feeds' days of a span of a table whose rows are not those that were exported."""
    count = await connection.fetchval(
        f"select count(*) from (select e.instrument_id, {table.timeframe} as timeframe, {_day(table)} as day, "  # noqa: S608 # our own names
        f"count(*) as rows, {DIGEST} as digest from {table.sql} e where e.{table.time} >= $1 and e.{table.time} < $2 "
        "group by 1, 2, 3) d left join md.exports x on x.table_name = $3 and x.instrument_id = d.instrument_id "
        "and x.timeframe = d.timeframe and x.day = d.day and x.rows = d.rows and x.digest = d.digest "
        "where x.day is null",
        start, end, table.name,
    )  # fmt: skip
    return int(count)


async def is_exported(connection: Connection, rows: Rows, start: datetime, end: datetime) -> bool:
    """Tell whether a feed's rows of a span are those that were exported."""
    noted = await connection.fetch(
        "select day, rows, digest from md.exports where table_name = $1 and instrument_id = $2 and timeframe = $3 "
        "and day >= $4 and day < $5",
        rows.table.name, rows.instrument, rows.timeframe, start.date(), end.date(),
    )  # fmt: skip
    exported = {row["day"]: Day(row["rows"], row["digest"]) for row in noted}
    return all(exported.get(day) == digest for day, digest in (await of_feed(connection, rows, start, end)).items())


async def only_in_file(connection: Connection, rows: Rows, days: Collection[date], file: str) -> bool:
    """Tell whether a file was given days of a feed that are not among these."""
    return bool(
        await connection.fetchval(
            "select exists (select from md.exports where table_name = $1 and instrument_id = $2 and timeframe = $3 "
            "and file = $4 and day <> all($5))",
            rows.table.name, rows.instrument, rows.timeframe, file, list(days),
        )
    )  # fmt: skip


async def note_exported(
    connection: Connection, rows: Rows, days: dict[date, Day], file: str, exported_at: datetime
) -> None:
    """Note that a file holds these days."""
    await connection.execute(
        "insert into md.exports (table_name, instrument_id, timeframe, day, rows, digest, file, exported_at) "
        "select $1, $2, $3, d.day, d.rows, d.digest, $7, $8 from unnest($4::date[], $5::int8[], $6::text[]) "
        "d (day, rows, digest) on conflict (table_name, instrument_id, timeframe, day) do update set "
        "rows = excluded.rows, digest = excluded.digest, file = excluded.file, exported_at = excluded.exported_at",
        rows.table.name, rows.instrument, rows.timeframe, list(days), [day.rows for day in days.values()],
        [day.digest for day in days.values()], file, exported_at,
    )  # fmt: skip


def _day(table: EventTable) -> str:
    return f"(e.{table.time} at time zone 'UTC')::date"
