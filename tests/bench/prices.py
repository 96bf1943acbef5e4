"""prices.latest for 500 symbols: in memory, and as a command through a real server; CPU µs per event to keep it fresh.

Usage: python -m tests.bench.prices
"""

import asyncio
import random
import statistics
import time

import structlog

from bus.client import Client
from bus.clock import SystemClock
from bus.events import Ticker, Trade
from bus.redis import RedisBus
from daemon.control import Commands, ControlServer
from daemon.control.basic import ping
from daemon.control.prices import prices_latest
from daemon.control.request import Request
from daemon.prices import LatestPrices
from tests.bench.servers import valkey

SYMBOLS = [f"COIN{number}/USDT" for number in range(500)]
ROUNDS = 200
EVENTS = 200_000
REQUEST = Request("1-0", "1-0", "", "prices.latest", {}, None, None)


def events(count: int) -> list:
    now = time.time_ns()
    trades = [
        Trade("binance", SYMBOLS[n % 500], now + n, now + n, "ws", str(n), f"{100 + n % 97}.37", "0.1", "buy")
        for n in range(count)
    ]
    day = {"last": "101.25", "open": "98.50", "high": "110.01", "low": "90.00", "volume": "123456.789"}
    return [Ticker("binance", symbol, now, now, "ws", **day) for symbol in SYMBOLS] + trades


def say(what: str, seconds: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{what:<52} median {cuts[49] * 1e3:6.2f} ms   p99 {cuts[98] * 1e3:6.2f} ms")


async def in_memory(prices: LatestPrices, arguments: dict) -> None:
    command = prices_latest(prices, {}, SystemClock())
    seconds, busy = [], time.process_time()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        rows = await command.run(command.parse(arguments), REQUEST)
        seconds.append(time.perf_counter() - began)
        assert len(rows) == len(SYMBOLS)
    busy = (time.process_time() - busy) / ROUNDS
    say(f"in memory, {'chosen' if arguments else 'all'} 500 symbols ({busy * 1e3:.2f} ms CPU)", seconds)


async def over_the_bus(url: str, prices: LatestPrices) -> None:
    bus = await RedisBus.open(url)
    clock = SystemClock()
    commands = Commands([ping(clock), prices_latest(prices, {}, clock)])
    server = ControlServer(bus.client, bus.names, commands, lambda _: None, clock=clock, rng=random.Random(1))
    task = asyncio.create_task(server.run())
    async with Client(url) as client:
        for name in ("ping", "prices.latest"):
            seconds = []
            for number in range(ROUNDS):
                began = time.perf_counter()
                await client.command(name, {}, id=f"{name}-{number}")
                seconds.append(time.perf_counter() - began)
                await asyncio.sleep(0.012)  # within the rate of one client
            say(f"command and reply, {name}", seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bus.close()


async def following(url: str) -> None:
    prices = LatestPrices()
    bus = await RedisBus.open(url, prefix="follow")
    sent = events(EVENTS)
    for start in range(0, len(sent), 512):
        await bus.publish(sent[start : start + 512])
    await bus.flush(60)
    async with Client(url, prefix="follow") as client:
        began, seen = time.process_time(), 0
        async for event in client.subscribe(channel=("trade", "ticker"), since=1):
            prices.take(event)
            seen += 1
            if seen == len(sent):
                break
        print(f"CPU to follow the bus {(time.process_time() - began) / seen * 1e6:.2f} µs per event")
    await bus.close()


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    prices = LatestPrices()
    for event in events(5_000):
        prices.take(event)
    await in_memory(prices, {})
    await in_memory(prices, {"symbols": SYMBOLS})
    with valkey() as url:
        await over_the_bus(url, prices)
        await following(url)


if __name__ == "__main__":
    asyncio.run(main())
