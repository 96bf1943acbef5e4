"""What storing costs: decoded trades to committed rows, against COPY of the same kind of rows as prepared text.

    python -m tests.bench.persist [dsn]

Without a dsn it starts an embedded PostgreSQL in a temporary folder. The ways take turns on one table, eight batches of
5,000 at a time and in each round another one first, each batch in a transaction of its own. `records` is what a plain
client does: the same trades as tuples of Decimals through `copy_records_to_table`, which fails on a row that stands
already. `overlap` is the handler given batches whose first tenth stands already; `two` are two handlers in processes of
their own, each with batches of its own, as parts of the role are. Prints the medians of several rounds: rows/s, rows/s
as a share of COPY's in the same round (lowest and highest round), CPU µs a row of this process, which does nothing for
`two`.
"""

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import asyncpg
import uvloop

from bus.events import Trade
from bus.handler import Batch, Position
from daemon.embedded.servers import EmbeddedServers
from handlers.persistence import PersistenceHandler
from handlers.persistence.tables import TABLES
from migrations.runner import migrate

BATCH = 5_000
TURN = 8
"""Batches that a way stores in a row; two handlers wait for one another at its end only."""
BATCHES = 40
ROUNDS = 12
TRADES = TABLES[Trade]
EPOCH = datetime.fromtimestamp(0, UTC)

Way = Callable[[Sequence[int]], Awaitable[int]]
"""Stores the batches of these numbers and returns how many rows that were."""


def trades(exchange: str = "binance") -> list[list[Trade]]:
    start = 1_723_161_255_342_000_000
    symbols = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    made = [
        Trade(
            exchange,
            symbols[n % 3],
            start + n * 731_000,
            start + n * 731_000 + 4_812_345,
            "ws",
            str(3_692_811_000 + n),
            f"{61_837 + n % 97}.{n % 100:02d}000000",
            f"0.{n % 99_991:05d}000",
            "buy" if n % 2 else "sell",
        )
        for n in range(BATCH * BATCHES)
    ]
    return [made[at : at + BATCH] for at in range(0, len(made), BATCH)]


def prepared(batches: list[list[Trade]], ids: Mapping[str, int]) -> list[memoryview]:
    return [memoryview("".join(TRADES.row(e, ids[e.symbol]) for e in batch).encode()) for batch in batches]


def record(e: Trade, instrument: int) -> tuple[object, ...]:
    moment = EPOCH + timedelta(microseconds=(e.recv if e.ts is None else e.ts) // 1_000)
    return instrument, moment, e.id, Decimal(e.price), Decimal(e.amount), e.side, e.recv, e.source


async def store(one: PersistenceHandler, own: list[list[Trade]], numbers: Sequence[int], again: int = 0) -> int:
    """Store the batches of these numbers, each with `again` rows of the one before; return how many rows that were."""
    for number in numbers:
        events = [*own[number - 1][BATCH - again :], *own[number][again:]]
        position = Position(f"{number}-0", number)
        await one.handle(Batch(events, {f"md:{events[0].exchange}:trade": position}))
    return BATCH * len(numbers)


class Part:
    """A handler in a process of its own."""

    def __init__(self, dsn: str, exchange: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(dsn, exchange, theirs))
        self._process.start()

    def store(self, numbers: Sequence[int]) -> int:
        """Store the batches of these numbers and return how many rows that were."""
        self._pipe.send(numbers)
        return int(self._pipe.recv())

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join()


def _serve(dsn: str, exchange: str, pipe: Connection) -> None:
    async def work() -> None:
        handler, own = PersistenceHandler(dsn), trades(exchange)
        while (numbers := pipe.recv()) is not None:
            pipe.send(await store(handler, own, numbers))
        await handler.close()

    uvloop.run(work())


async def one_round(ways: Mapping[str, Way]) -> dict[str, tuple[float, float]]:
    """Rows per second and CPU µs per row of each way."""
    rows, wall, cpu = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    for turn, at in enumerate(range(0, BATCHES, TURN)):
        name = list(ways)[turn % len(ways)]
        wall[name] -= time.perf_counter()
        cpu[name] -= time.process_time()
        rows[name] += await ways[name](range(at, at + TURN))
        wall[name] += time.perf_counter()
        cpu[name] += time.process_time()
    return {name: (rows[name] / wall[name], cpu[name] / rows[name] * 1e6) for name in ways}


async def measure(dsn: str) -> None:
    await migrate(dsn)
    handler, overlapped = (PersistenceHandler(dsn) for _ in range(2))
    connection = await asyncpg.connect(dsn)
    batches = trades()
    await handler.handle(Batch(batches[0]))
    ids = {row["symbol"]: row["instrument_id"] for row in await connection.fetch("select * from md.instruments")}
    texts = prepared(batches, ids)

    async def copy(numbers: Sequence[int]) -> int:
        for number in numbers:
            await connection.copy_to_table(
                TRADES.name, schema_name=TRADES.schema, columns=list(TRADES.columns), source=texts[number],
                format="text",
            )  # fmt: skip
        return BATCH * len(numbers)

    async def records(numbers: Sequence[int]) -> int:
        for number in numbers:
            await connection.copy_records_to_table(
                TRADES.name, schema_name=TRADES.schema, columns=list(TRADES.columns),
                records=[record(trade, ids[trade.symbol]) for trade in batches[number]],
            )  # fmt: skip
        return BATCH * len(numbers)

    parts = [Part(dsn, exchange) for exchange in ("kraken", "okx")]

    async def two(numbers: Sequence[int]) -> int:
        return sum(await asyncio.gather(*(asyncio.to_thread(part.store, numbers) for part in parts)))

    await two(range(1))  # connected
    ways: dict[str, Way] = {
        "copy": copy,
        "records": records,
        "handler": lambda numbers: store(handler, batches, numbers),
        "overlap": lambda numbers: store(overlapped, batches, numbers, BATCH // 10),
        "two": two,
    }
    rounds = []
    for _ in range(ROUNDS):
        await connection.execute("truncate md.trades")
        await connection.execute("checkpoint")
        rounds.append(await one_round(ways))
        first = next(iter(ways))
        ways[first] = ways.pop(first)
    for name in ways:
        rate, cpu = (statistics.median(values) for values in zip(*[one[name] for one in rounds], strict=True))
        shares = sorted(one[name][0] / one["copy"][0] for one in rounds)
        share = f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})"
        print(f"{name:<8} {rate / 1000:4.0f} k rows/s   {share}   {cpu:.2f} µs")
    for part in parts:
        part.end()
    for one in (handler, overlapped):
        await one.close()
    await connection.close()


async def main() -> None:
    if len(sys.argv) > 1:
        await measure(sys.argv[1])
        return
    with tempfile.TemporaryDirectory(prefix="mdb-") as folder:
        async with EmbeddedServers(Path(folder), valkey=False, postgres=True) as servers:
            assert servers.dsn is not None
            await measure(servers.dsn)


if __name__ == "__main__":
    uvloop.run(main())
