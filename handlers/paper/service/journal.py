"""Keeps paper trading in the database: what went in, what came out, and its tables, all or nothing per batch.

The row in `paper_snapshot` says who runs the engine (`epoch`) and which batch was the last: a process that has lost
its turn without noticing stores nothing, and a batch whose commit was never confirmed is not stored twice.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from bus.errors import StoreUnavailable, said
from handlers.paper.instrument import InstrumentSpec
from handlers.paper.service.rows import PORTFOLIOS, WITH_PORTFOLIO, Changes, to_json
from handlers.sessions import Connection, connect

DEADLINE: Final = 25.0
"""Seconds for one transaction, connecting included."""
_FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Batch(msgspec.Struct, frozen=True):
    """One journalled batch: its number, inputs and outputs as bytes, and the number of the last output so far."""

    number: int
    inputs: bytes
    outputs: bytes
    last_seq: int


class Kept(msgspec.Struct, frozen=True):
    """What there is to start from: the state after `snapshot_batch`, and the batches that are kept.

    Batches up to `snapshot_batch` are kept for their outputs alone. Everything up to output `published` stands on the
    stream.
    """

    state: bytes | None
    snapshot_batch: int
    batch: int
    published: int
    batches: list[Batch]


class TakenOver(StoreUnavailable):
    """Another process runs paper trading now."""


class Journal:
    """The only writer of the paper tables; one connection, opened again whenever it has failed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None
        self._deadline: asyncio.Timeout | None = None
        self._epoch = 0

    async def open(self) -> Kept:
        """Take over, and return what there is to start from. Raises StoreUnavailable."""
        async with self._transaction() as connection:
            row = await connection.fetchrow("update paper_snapshot set epoch = epoch + 1 returning *")
            rows = await connection.fetch("select batch, inputs, outputs, last_seq from paper_journal order by batch")
        assert row is not None
        self._epoch = row["epoch"]
        batches = [Batch(*found) for found in rows]
        return Kept(row["state"], row["snapshot_batch"], row["batch"], row["published"], batches)

    async def append(
        self,
        batch: Batch,
        published: int,
        changes: Changes,
        statistics: Mapping[str, Mapping[str, Any]],
        state: bytes | None,
    ) -> None:
        """Store a batch; everything up to output `published` stands on the stream.

        With `state` it becomes what the next start begins from, and batches before the one that it replaces go once
        they are published. A batch that is stored already is left alone. Raises StoreUnavailable, TakenOver.
        """
        async with self._transaction() as connection:
            moved = await connection.execute(
                "update paper_snapshot set batch = $2, published = $3 where epoch = $1 and batch = $2 - 1",
                self._epoch, batch.number, published,
            )  # fmt: skip
            if moved == "UPDATE 0":
                await self._explain(connection, batch.number)
                return
            await connection.execute(
                "insert into paper_journal (batch, inputs, outputs, last_seq) values ($1, $2, $3, $4)",
                batch.number, batch.inputs, batch.outputs, batch.last_seq,
            )  # fmt: skip
            await _store(connection, changes, statistics)
            if state is not None:
                # outputs since the snapshot before are kept: a server that has lost its newest data is told them again
                await connection.execute(
                    "delete from paper_journal where last_seq <= $1 "
                    "and batch < (select snapshot_batch from paper_snapshot)", published,
                )  # fmt: skip
                await connection.execute(
                    "update paper_snapshot set state = $1, snapshot_batch = $2", state, batch.number
                )

    async def instruments(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], InstrumentSpec]:
        """Return the spot symbols among these (exchange, symbol) of which tick and lot size are known.

        Raises StoreUnavailable.
        """
        async with self._transaction() as connection:
            rows = await connection.fetch(
                "select exchange, symbol, base, quote, tick_size::text, lot_size::text, "
                "coalesce(min_notional, 0)::text as min_notional from instruments "
                "join unnest($1::text[], $2::text[]) as wanted (exchange, symbol) using (exchange, symbol) "
                "where tick_size > 0 and lot_size > 0 and kind = 'spot' and base <> '' and quote <> ''",
                [exchange for exchange, _ in names], [symbol for _, symbol in names],
            )  # fmt: skip
        return {
            (row["exchange"], row["symbol"]): InstrumentSpec(
                row["symbol"], row["base"], row["quote"], row["tick_size"], row["lot_size"], row["min_notional"]
            )
            for row in rows
        }

    async def close(self) -> None:
        """Let go of the connection. Nothing is under way on it, so there is nothing to wait for."""
        self._give_up()

    async def _explain(self, connection: Connection, number: int) -> None:
        """A batch was not taken: fine if it stands already, otherwise somebody else runs the engine."""
        row = await connection.fetchrow("select epoch, batch from paper_snapshot")
        if row is None or row["epoch"] != self._epoch or row["batch"] != number:
            raise TakenOver("another process has taken over paper trading")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """Give a connection with a transaction; any failure ends both, and the server rolls back."""
        try:
            async with asyncio.timeout(DEADLINE) as self._deadline:
                connection = await self._connected()
                async with connection.transaction():
                    yield connection
        except BaseException as error:
            self._give_up()
            task = asyncio.current_task()
            if task is not None and task.cancelling() and isinstance(error, Exception):
                raise asyncio.CancelledError from error  # asyncpg's own stumbling must not hide a cancellation
            if isinstance(error, _FAILURES):
                raise StoreUnavailable(f"paper trading cannot be stored: {said(error)}") from error
            raise
        finally:
            self._deadline = None

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, "marketd paper")
            self._connection.add_termination_listener(self._died)
        return self._connection

    def _died(self, connection: object) -> None:
        """End the transaction now: asyncpg would wait for ever for room to write on a connection that is dead."""
        if connection is self._connection and self._deadline is not None:
            self._deadline.reschedule(0)

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _store(connection: Connection, changes: Changes, statistics: Mapping[str, Mapping[str, Any]]) -> None:
    if changes.emptied:
        for table in WITH_PORTFOLIO:
            await connection.execute(
                f"delete from {table.name} where portfolio = any($1::text[])",  # noqa: S608 # our own names
                changes.emptied,
            )
    # portfolios first: what follows belongs to them
    for table, rows in sorted(changes.rows.items(), key=lambda found: found[0] is not PORTFOLIOS):
        if rows:
            await connection.execute(table.insert, to_json(list(rows.values())))
    for portfolio, cause in changes.halts.items():
        await connection.execute("update paper_portfolios set halted = $2 where portfolio = $1", portfolio, cause)
    for portfolio, values in statistics.items():
        await connection.execute(
            "update paper_portfolios set statistics = $2::jsonb where portfolio = $1", portfolio, to_json(values)
        )
