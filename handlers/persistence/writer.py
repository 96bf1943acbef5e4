"""Writes one batch in one transaction: straight COPY, and the slower exact path only where a row stands already."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, Final, TypeAlias

import asyncpg
import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import StoreUnavailable
from bus.events import Event, MarketEvent
from bus.handler import Position
from handlers.persistence.tables import Table, table_of

log = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.Connection[Any]"
Instrument: TypeAlias = tuple[str, str]

CONNECT_TIMEOUT: Final = 10.0
COMMAND_TIMEOUT: Final = 60.0
FAULTS_OF_THE_DATA: Final = ("22", "23")
"""SQLSTATE classes that trying again cannot mend: data exceptions and violated constraints
(https://www.postgresql.org/docs/current/errcodes-appendix.html). Everything else is the server's trouble."""


class Writer:
    """One connection to the database, opened again whenever it has failed."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._connection: Connection | None = None
        self._instruments: dict[Instrument, int] = {}

    async def write(self, events: Sequence[Event], positions: Mapping[str, Position]) -> None:
        """Store a batch and how far its streams are read, all or nothing.

        Raises StoreUnavailable when trying again can help, asyncpg.PostgresError when the data cannot be stored.
        """
        started = self._clock.monotonic()
        try:
            connection = await self._connected()
            await self._learn_instruments(connection, events)
            rows = self._rows(events)
            counts = await self._transaction(connection, rows, positions)
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in FAULTS_OF_THE_DATA:
                raise
            await self._drop_connection()
            raise StoreUnavailable(f"the database refused a batch: {error.sqlstate} {error}") from error
        except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
            await self._drop_connection()
            raise StoreUnavailable(f"the database cannot be reached: {error or type(error).__name__}") from error
        except asyncio.CancelledError:
            await self._drop_connection()
            raise
        metrics.STORE_CONNECTED.set(1)
        metrics.STORE_SECONDS.observe(self._clock.monotonic() - started)
        for table, (given, new) in counts.items():
            metrics.ROWS.labels(table.name).inc(new)
            metrics.ROWS_DUPLICATE.labels(table.name).inc(given - new)

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=CONNECT_TIMEOUT)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT,
                server_settings={"application_name": "marketd persistence"},
            )  # fmt: skip
        return self._connection

    async def _drop_connection(self) -> None:
        """Forget a connection that may be in any state; what it had not committed is rolled back by the server."""
        metrics.STORE_CONNECTED.set(0)
        connection, self._connection = self._connection, None
        self._instruments.clear()  # the next database may be another one
        if connection is not None:
            connection.terminate()

    async def _learn_instruments(self, connection: Connection, events: Sequence[Event]) -> None:
        """Make sure of an id for every instrument of the batch; two processes may do this at once."""
        seen = {(event.exchange, event.symbol) for event in events if isinstance(event, MarketEvent)}
        new = sorted(seen - self._instruments.keys())
        if not new:
            return
        columns = [list(column) for column in zip(*new, strict=True)]
        await connection.execute(
            "insert into md.instruments (exchange, symbol) select * from unnest($1::text[], $2::text[]) "
            "on conflict do nothing", *columns,
        )  # fmt: skip
        found = await connection.fetch(
            "select instrument_id, exchange, symbol from md.instruments "
            "join unnest($1::text[], $2::text[]) as wanted (exchange, symbol) using (exchange, symbol)", *columns,
        )  # fmt: skip
        self._instruments.update({(row["exchange"], row["symbol"]): row["instrument_id"] for row in found})

    def _rows(self, events: Sequence[Event]) -> dict[Table, list[str]]:
        rows: dict[Table, list[str]] = {}
        instruments = self._instruments
        for event in events:
            table = table_of(event)
            instrument = instruments[event.exchange, event.symbol] if isinstance(event, MarketEvent) else 0
            line = table.row(event, instrument)
            lines = rows.get(table)
            if lines is None:
                rows[table] = [line]
            else:
                lines.append(line)
        return rows

    async def _transaction(
        self,
        connection: Connection,
        rows: Mapping[Table, Sequence[str]],
        positions: Mapping[str, Position],
    ) -> dict[Table, tuple[int, int]]:
        counts: dict[Table, tuple[int, int]] = {}
        async with connection.transaction():
            for table, lines in rows.items():
                counts[table] = (len(lines), await _store(connection, table, "".join(lines).encode()))
            if positions:
                await _move_offsets(connection, positions)
        return counts


async def _move_offsets(connection: Connection, positions: Mapping[str, Position]) -> None:
    """Note how far each stream is stored, in the transaction that stores it."""
    await connection.execute(
        "insert into stream_offsets (stream, entry, seq, updated_at) "
        "select *, now() from unnest($1::text[], $2::text[], $3::int8[]) on conflict (stream) do update "
        "set entry = excluded.entry, seq = excluded.seq, updated_at = excluded.updated_at",
        list(positions), [p.entry for p in positions.values()], [p.seq for p in positions.values()],
    )  # fmt: skip


async def _store(connection: Connection, table: Table, data: bytes) -> int:
    """Store one table's rows; return how many were new or changed."""
    if not table.update:
        with suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                return _count(await _copy(connection, table.schema, table.name, table.columns, data))
    return await _merge(connection, table, data)


async def _copy(connection: Connection, schema: str | None, name: str, columns: Sequence[str], data: bytes) -> str:
    return await connection.copy_to_table(
        name, schema_name=schema, columns=list(columns), source=BytesIO(data), format="text"
    )


async def _merge(connection: Connection, table: Table, data: bytes) -> int:
    """Store rows of which some stand already, or change what stands."""
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    await connection.execute(
        f"create temporary table incoming on commit drop as select {columns} from {table.sql} with no data;"  # noqa: S608 # our own names
        "alter table incoming add column arrival int8 generated always as identity"
    )
    await _copy(connection, None, "incoming", table.columns, data)
    status = await connection.execute(
        f"insert into {table.sql} ({columns}) select {columns} from ("  # noqa: S608 # our own names
        f"select distinct on ({key}) * from incoming order by {key}, {table.newest}) chosen "
        f"order by arrival on conflict ({key}) {table.settle}"
    )
    await connection.execute("drop table incoming")
    return _count(status)


def _count(status: str) -> int:
    """The number of rows in a command's status, `COPY 5` or `INSERT 0 5`."""
    return int(status.rpartition(" ")[2])
