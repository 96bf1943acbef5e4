"""Writes one batch in one transaction, over a connection that is given up at the first failure."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import asyncpg

from bus import metrics
from bus.clock import Clock
from bus.errors import StoreUnavailable, said
from bus.events import Book, Event
from bus.handler import Position
from handlers.persistence import transaction
from handlers.persistence.instruments import Name, learn_ids
from handlers.persistence.tables import BOOK_SNAPSHOTS, TABLES, Table
from handlers.sessions import Connection, connect

DEADLINE: Final = 60.0
"""Seconds for one batch, connecting included."""
PART: Final = 1_000
"""Events whose rows are made and sent at once."""
FAULTS_OF_THE_DATA: Final = ("22", "23", "54")
"""SQLSTATE classes that trying again cannot mend: data exceptions, violated constraints, exceeded limits (a key that
is too long for an index). Everything else is the server's trouble.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class _Overlap(Exception):
    """A row stands already in a table that was taken for free of them."""


class Writer:
    """One connection to the database, opened again whenever it has failed."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._connection: Connection | None = None
        self._ids: dict[Name, int] = {}
        self._overlapping: set[Table] = set()
        """Tables whose last batch held rows that stood already: the next one will hold some, too."""
        self._deadline: asyncio.Timeout | None = None

    async def write(self, events: Sequence[Event], positions: Mapping[str, Position]) -> None:
        """Store a batch and how far its streams are read, all or nothing.

        Raises StoreUnavailable when trying again can help, otherwise what PostgreSQL or Python say of the data.
        """
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(DEADLINE) as self._deadline:
                counts = await self._transaction(await self._connected(), events, positions)
        except BaseException as error:
            # The one way back from any failure: the server rolls back what a lost connection had not committed.
            reason = self._trouble_of_the_server(error)
            self._give_up_connection()
            task = asyncio.current_task()
            if task is not None and task.cancelling() and isinstance(error, Exception):
                raise asyncio.CancelledError from error  # asyncpg's own stumbling must not hide a cancellation
            if reason is None:
                raise
            metrics.STORE_CONNECTED.set(0)
            raise StoreUnavailable(reason) from error
        finally:
            self._deadline = None
        metrics.STORE_CONNECTED.set(1)
        metrics.STORE_SECONDS.observe(self._clock.monotonic() - started)
        for table, (given, new) in counts.items():
            metrics.ROWS.labels(table.name).inc(new)
            metrics.ROWS_DUPLICATE.labels(table.name).inc(given - new)

    async def close(self) -> None:
        """Let go of the connection. Nothing is under way on it, so there is nothing to wait for."""
        self._give_up_connection()
        metrics.STORE_CONNECTED.set(0)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._ids.clear()  # it may be another database now
            self._connection = await connect(self._dsn, "marketd persistence")
            self._connection.add_termination_listener(self._died)
        return self._connection

    def _died(self, connection: object) -> None:
        """End the batch now: asyncpg would wait for ever for room to write on a connection that is dead."""
        if connection is self._connection and self._deadline is not None:
            self._deadline.reschedule(0)

    def _give_up_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _trouble_of_the_server(self, error: BaseException) -> str | None:
        """Return what stands in the way, None when it is the data, or a cancellation, and no trouble of the server."""
        if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in FAULTS_OF_THE_DATA:
            return None
        if isinstance(error, asyncpg.PostgresError):
            return f"the database refused a batch: {error.sqlstate} {error}"
        dead = self._connection is None or self._connection.is_closed()
        # On a dead connection asyncpg stumbles over itself in many ways; on a live one a ValueError is a value that it
        # cannot encode.
        if isinstance(error, Exception) and (
            dead or isinstance(error, OSError | asyncpg.InternalClientError) or _is_misuse(error)
        ):
            return f"the database cannot be reached: {said(error)}"
        return None

    async def _transaction(
        self, connection: Connection, events: Sequence[Event], positions: Mapping[str, Position]
    ) -> dict[Table, tuple[int, int]]:
        """Store everything; return for each table how many rows were given and how many of them were new."""
        groups = _by_table(events)
        names = {(e.exchange, e.symbol) for table, group in groups.items() if table.keyed for e in group}
        if new := names - self._ids.keys():
            self._ids.update(await learn_ids(connection, new))
        while True:
            await connection.execute("begin")
            try:
                counts = {
                    table: (len(group), await self._store(connection, table, group)) for table, group in groups.items()
                }
            except _Overlap:  # once for each table at most; savepoints instead would cost every batch round trips
                await connection.execute("rollback")
                continue
            if positions:
                await transaction.move_offsets(connection, positions)
            await connection.execute("commit")
            return counts

    async def _store(self, connection: Connection, table: Table, events: Sequence[Any]) -> int:
        """Store one table's events; return how many rows were new or changed. Raises _Overlap: begin again."""
        parts = partial(self._parts, table, events)
        if not table.update and table not in self._overlapping:
            try:
                return await transaction.append(connection, table, parts)
            except asyncpg.UniqueViolationError as error:
                self._overlapping.add(table)
                raise _Overlap from error
        stored = await transaction.merge(connection, table, parts)
        if stored == len(events):
            self._overlapping.discard(table)
        return stored

    def _parts(self, table: Table, events: Sequence[Any]) -> Iterator[bytes]:
        for at in range(0, len(events), PART):
            yield table.lines(events[at : at + PART], self._ids)


def _by_table(events: Sequence[Event]) -> dict[Table, list[Any]]:
    groups: defaultdict[Table, list[Any]] = defaultdict(list)
    for event in events:
        snapshot = type(event) is Book and event.kind == "snapshot"
        table = BOOK_SNAPSHOTS if snapshot else TABLES.get(type(event))
        if table is not None:
            groups[table].append(event)
    return groups


def _is_misuse(error: Exception) -> bool:
    """Whether asyncpg found the connection in a state that it cannot be used in."""
    return isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
