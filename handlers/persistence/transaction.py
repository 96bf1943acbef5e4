"""What a transaction of the store consists of: straight COPY, and an exact slower path where a row stands already."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import asyncpg

from bus.handler import Position
from handlers.persistence.tables import Table

Connection: TypeAlias = "asyncpg.Connection[Any]"
Parts: TypeAlias = Callable[[], Iterable[bytes]]
"""Makes a table's rows as COPY text, part by part; may be called again."""


async def append(connection: Connection, table: Table, parts: Parts) -> int:
    """Store rows that are all new and return how many. Raises UniqueViolationError where one stands already."""
    return await _copy(connection, table.schema, table.name, table.columns, parts)


async def merge(connection: Connection, table: Table, parts: Parts) -> int:
    """Store rows of which some may stand already; return how many were new or changed."""
    columns, key, incoming = ", ".join(table.columns), ", ".join(table.key), f"incoming_{table.name}"
    await connection.execute(
        f"create temporary table if not exists {incoming} (like {table.sql}) on commit delete rows"
    )
    await _copy(connection, None, incoming, table.columns, parts)
    # An insert may change a row only once, so of several with one key the newest is chosen.
    distinct, order = (f"distinct on ({key})", f"order by {key}, {table.newest}") if table.update else ("", "")
    status = await connection.execute(
        f"insert into {table.sql} ({columns}) select {distinct} {columns} from {incoming} {order} "  # noqa: S608 # our own names
        f"on conflict ({key}) {table.settle}"
    )
    return _count(status)


async def move_offsets(connection: Connection, positions: Mapping[str, Position]) -> None:
    """Note how far each stream is stored, in the transaction that stores it."""
    await connection.execute(
        "insert into stream_offsets (stream, entry, seq, updated_at) "
        "select *, now() from unnest($1::text[], $2::text[], $3::int8[]) on conflict (stream) do update "
        "set entry = excluded.entry, seq = excluded.seq, updated_at = excluded.updated_at",
        list(positions), [p.entry for p in positions.values()], [p.seq for p in positions.values()],
    )  # fmt: skip


async def _copy(connection: Connection, schema: str | None, name: str, columns: Iterable[str], parts: Parts) -> int:
    """Send rows part by part, making the next while the server takes one in; return how many it took."""

    async def stream() -> AsyncIterator[bytes]:
        for part in parts():
            yield part

    status = await connection.copy_to_table(
        name, schema_name=schema, columns=list(columns), source=stream(), format="text"
    )
    return _count(status)


def _count(status: str) -> int:
    """The number of rows in a command's status, `COPY 5` or `INSERT 0 5`."""
    return int(status.rpartition(" ")[2])
