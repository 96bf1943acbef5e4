"""How long paper trading takes to come back: many orders in the past, many open, the journal as long as it gets.

    python tests/bench/paper_recovery.py [--history 100000] [--open 1000]

Everything goes through the real handler and an embedded PostgreSQL; what is timed is the start of a new handler.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import structlog

from bus.clock import MILLISECOND
from bus.events import Event
from daemon.embedded.servers import EmbeddedServers
from tests.handlers.paper.service.flow import Stand, book, command, order

BATCH = 1_000


async def measure(history: int, resting: int) -> None:
    with tempfile.TemporaryDirectory(prefix="mdt-") as folder:
        async with EmbeddedServers(Path(folder), valkey=False, postgres=True) as servers:
            assert servers.dsn is not None
            stand = await Stand(servers.dsn).open()
            await stand.give(book(1, {"99.00": "5"}, {"101.00": "5"}))
            await stand.give(command(2, "portfolio.create", name="demo", initial={"USDT": "100000000"}))
            began = time.perf_counter()
            asked: list[Event] = []
            for number in range(history + resting):
                at = (number + 1) * MILLISECOND
                price = f"{50 + number % 400 / 10:.2f}"
                asked.append(order(at, "buy", "limit", f"n{number}", quantity="0.1", price=price))
                if number < history:
                    asked.append(command(at + 1, "order.cancel", id=f"n{number}"))
                if len(asked) >= BATCH:
                    await stand.give(*asked)
                    del stand.stream[:-1]
                    asked.clear()
            await stand.give(*asked)
            seconds = time.perf_counter() - began
            print(
                f"{history + resting:,} orders stored in {seconds:.1f} s, {(history + resting) / seconds:,.0f} a second"
            )
            began = time.perf_counter()
            await stand.restart()
            print(f"back in {time.perf_counter() - began:.2f} s with {len(await stand.rows('paper_orders')):,} orders")
            await stand.handler.close()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    parser = argparse.ArgumentParser()
    parser.add_argument("--history", type=int, default=100_000)
    parser.add_argument("--open", type=int, default=1_000)
    args = parser.parse_args()
    asyncio.run(measure(args.history, args.open))


if __name__ == "__main__":
    main()
