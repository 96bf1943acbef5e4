"""CPU µs per event of the handlers that read, with no database behind them, over recorded Binance frames.

Usage: MARKETD_RECORDINGS=… python -m tests.bench.handlers_cpu
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from bus.events import event_type
from bus.handler import Batch, Handler
from bus.local import LocalState
from daemon.exchanges import contiguous, load
from daemon.recording import Recording, replay
from handlers.candles import CandleHandler
from handlers.gaps import GapHandler
from handlers.metrics import MetricsHandler
from handlers.validation import ValidationHandler

BATCH = 1_000


class NoPast:
    """A database in which nothing is stored."""

    async def before(self, key: object, recv: int) -> None:
        return None

    async def since(self, exchange: str, symbol: str) -> None:
        return None

    async def minutes(self, exchange: str, symbol: str, start: int, end: int) -> list[Any]:
        return []

    async def trades(self, exchange: str, symbol: str, start: int, end: int) -> list[Any]:
        return []

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
        lambda: CandleHandler(("1m", "5m", "15m", "1h", "4h", "1d"), NoPast()),
        MetricsHandler,
    ]
    for make in makers:
        channels = make().channels
        wanted = [event for event in events if event_type(event) in channels]
        best = min([await measure(make(), wanted) for _ in range(3)])
        print(f"{make().name:<12} {best:6.2f} µs per event ({len(wanted):,} events in batches of {BATCH})")


if __name__ == "__main__":
    asyncio.run(main())
