"""How many events a second all handlers hold, with the bus and the database on the same machine.

    python -m tests.bench.capacity [--seconds 20] [--roles ROLE …] [RATE …]

Eight exchanges with fifty symbols each are published by this process as collectors would: of ten events six are book
updates, two tickers and two trades. Each `--roles` is a process (`handle` by default: all handlers in one). For every
rate: events that were published and handled, how far behind the slowest handler is at the end, and what each process
took. Ends where that handler is more than a second behind.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bus.events import Book, MarketEvent, Ticker, Trade
from bus.redis import RedisBus
from tests.bench.resources import look
from tests.end_to_end.harness import Marketd

EXCHANGES = ("binance", "binanceusdm", "bitget", "bybit", "coinbase", "gateio", "kraken", "okx")
SYMBOLS = tuple(f"C{number}/USDT" for number in range(50))
RATES = (5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 75_000, 100_000)
SLICE = 0.01
"""Seconds between two turns of the publisher."""
ALLOWED = 1.0
"""Seconds that a handler may be behind."""


def market() -> Iterator[MarketEvent]:
    """Endless events of all symbols in turn; every book begins with a snapshot."""
    feeds = [(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS]
    now = time.time_ns()
    for exchange, symbol in feeds:
        levels = (
            [(f"{100 - side}.00", "1.500") for side in range(20)],
            [(f"{101 + side}.00", "2.5") for side in range(20)],
        )
        yield Book(exchange, symbol, now, now, "ws", "snapshot", *levels, None, 0)
    for turn in count():
        for place in range(10):
            for exchange, symbol in feeds:
                now, number = time.time_ns(), turn * 10 + place
                price = f"{100 + number % 7 / 10:.2f}"
                if place in (3, 7):
                    yield Ticker(exchange, symbol, now, now, "ws", f"100.{number % 90:02}", "1.5", "101.00", "2.5")
                elif place in (4, 9):
                    identity = str(turn * 2 + (place == 9))
                    yield Trade(exchange, symbol, now, now, "ws", identity, price, "0.0125", "buy")
                else:
                    changed = [(f"{90 - number % 5}.00", f"{number % 9}.25"), (f"{80 - number % 3}.00", "0")]
                    last = turn * 6 + (0, 1, 2, 0, 0, 3, 4, 0, 5, 0)[place] + 1
                    yield Book(exchange, symbol, now, now, "ws", "delta", changed, [], last, last, last - 1)


async def publish(bus: RedisBus, events: Iterator[MarketEvent], rate: int, seconds: float) -> int:
    """Publish at a rate, as far as the bus takes it; return how many."""
    began, published = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        due = round(rate * elapsed) - published
        if due > 0:
            await bus.publish([next(events) for _ in range(due)])
            published += due
        await asyncio.sleep(SLICE)
    await bus.flush(30)
    return published


async def measure(daemons: list[Marketd], rates: list[int], seconds: float) -> None:
    events = market()
    bus = await RedisBus.open(daemons[0].urls()["redis"])
    print("    rate  published/s  behind s   here  " + "  ".join(f"process {n}" for n in range(1, len(daemons) + 1)))
    for rate in rates:
        before, own, began = [look(daemon) for daemon in daemons], time.process_time(), time.monotonic()
        published = await publish(bus, events, rate, seconds)
        elapsed, own = time.monotonic() - began, time.process_time() - own
        after = [look(daemon) for daemon in daemons]
        behind = max(seen.lag for seen in after)
        shares = "  ".join(f"{(b.cpu - a.cpu) / elapsed:9.0%}" for a, b in zip(before, after, strict=True))
        print(f"{rate:8,} {published / elapsed:12,.0f} {behind:9.2f} {own / elapsed:6.0%}  {shares}", flush=True)
        if behind > ALLOWED:
            break
    await bus.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--roles", nargs="+", default=["handle"])
    parser.add_argument("rates", nargs="*", type=int, metavar="RATE")
    asked = parser.parse_args()
    daemons: list[Marketd] = []
    with tempfile.TemporaryDirectory(prefix="mdc-", ignore_cleanup_errors=True) as folder:
        try:
            servers = ""
            for number, role in enumerate(asked.roles):
                home = Path(folder) / str(number)
                home.mkdir()
                daemons.append(Marketd(home))
                daemons[-1].configure(servers)
                daemons[-1].start("--role", role).ready()
                urls = daemons[0].urls()
                servers = f'[bus]\nurl = "{urls["redis"]}"\n[store]\ndsn = "{urls["dsn"]}"\n'
            asyncio.run(measure(daemons, asked.rates or list(RATES), asked.seconds))
        finally:
            for daemon in reversed(daemons):
                daemon.stop()


if __name__ == "__main__":
    main()
