"""CPU µs per event of the handlers that hold no database, over recorded Binance frames.

Usage: MARKETD_RECORDINGS=… python -m tests.bench.handlers_cpu
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from bus.handler import Batch, Handler
from bus.local import LocalState
from daemon.exchanges import contiguous, load
from daemon.recording import Recording, replay
from handlers.gaps import GapHandler
from handlers.metrics import MetricsHandler
from handlers.validation import ValidationHandler

BATCH = 1_000


class NoPast:
    """A database in which nothing is stored."""

    async def before(self, key: object, recv: int) -> None:
        return None

    async def close(self) -> None:
        return None


async def measure(handler: Handler, events: list) -> float:
    await handler.start(LocalState())
    began = time.process_time()
    for start in range(0, len(events), BATCH):
        await handler.handle(Batch(events[start : start + BATCH]))
    return (time.process_time() - began) / len(events) * 1e6


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    path = Path(os.environ["MARKETD_RECORDINGS"]) / "binance_btcusdt_20240808.jsonl.gz"
    events = [event for _, some in replay(Recording(path), load("binance")()) for event in some]
    makers: list[Callable[[], Handler]] = [
        ValidationHandler,
        lambda: GapHandler(contiguous(), NoPast()),
        MetricsHandler,
    ]
    for make in makers:
        best = min([await measure(make(), events) for _ in range(3)])
        print(f"{make().name:<12} {best:6.2f} µs per event ({len(events):,} events in batches of {BATCH})")


if __name__ == "__main__":
    asyncio.run(main())
