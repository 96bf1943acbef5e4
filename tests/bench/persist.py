"""What storing costs: decoded trades to committed rows, against COPY of the same kind of rows as prepared text.

    python -m tests.bench.persist [dsn]

Without a dsn it starts an embedded PostgreSQL in a temporary folder. The ways take turns, batch by batch of 5,000, on
one table, each batch in a transaction of its own; `overlap` is the handler given batches whose first tenth stands
already; `two` are two handlers at once, each with a batch of its own, as parts of the role are. Prints the medians of
several rounds: rows/s, rows/s as a share of COPY's in the same round (lowest and highest round), CPU µs of this process
a row.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
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
BATCHES = 30
ROUNDS = 9
TRADES = TABLES[Trade]

Way = Callable[[int], Awaitable[object]]
"""Stores the batch of that number."""


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


async def one_round(ways: Mapping[str, Way]) -> dict[str, tuple[float, float]]:
    """Rows per second and CPU µs per row of each way."""
    wall, cpu = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    for number in range(BATCHES):
        name = list(ways)[number % len(ways)]
        wall[name] -= time.perf_counter()
        cpu[name] -= time.process_time()
        await ways[name](number)
        wall[name] += time.perf_counter()
        cpu[name] += time.process_time()
    rows = {name: BATCH * BATCHES // len(ways) * (1 + (name == "two")) for name in ways}
    return {name: (rows[name] / wall[name], cpu[name] / rows[name] * 1e6) for name in ways}


async def measure(dsn: str) -> None:
    await migrate(dsn)
    handler, overlapped, *parts = [PersistenceHandler(dsn) for _ in range(4)]
    connection = await asyncpg.connect(dsn)
    batches = trades()
    await handler.handle(Batch(batches[0]))
    ids = {row["symbol"]: row["instrument_id"] for row in await connection.fetch("select * from md.instruments")}
    texts = prepared(batches, ids)

    def overlap(number: int) -> Awaitable[object]:
        events = [*batches[number - 1][-BATCH // 10 :], *batches[number][BATCH // 10 :]]
        return overlapped.handle(Batch(events, {"md:binance:trade": Position(f"{number}-0", number)}))

    others = {exchange: trades(exchange) for exchange in ("kraken", "okx")}

    def two(number: int) -> Awaitable[object]:
        stored = zip(parts, others.items(), strict=True)
        position = Position(f"{number}-0", number)
        return asyncio.gather(
            *(part.handle(Batch(own[number], {f"md:{exchange}:trade": position})) for part, (exchange, own) in stored)
        )

    ways: dict[str, Way] = {
        "copy": lambda number: connection.copy_to_table(
            TRADES.name, schema_name=TRADES.schema, columns=list(TRADES.columns), source=texts[number], format="text"
        ),
        "handler": lambda number: handler.handle(
            Batch(batches[number], {"md:binance:trade": Position(f"{number}-0", number)})
        ),
        "overlap": overlap,
        "two": two,
    }
    rounds = []
    for _ in range(ROUNDS):
        await connection.execute("truncate md.trades")
        await connection.execute("checkpoint")
        rounds.append(await one_round(ways))
    for name in ways:
        rate, cpu = (statistics.median(values) for values in zip(*[one[name] for one in rounds], strict=True))
        shares = sorted(one[name][0] / one["copy"][0] for one in rounds)
        share = f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})"
        print(f"{name:<8} {rate / 1000:4.0f} k rows/s   {share}   {cpu:.2f} µs")
    for one in (handler, overlapped, *parts):
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
