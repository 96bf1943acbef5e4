"""The feed of the latest prices, on the real bus and the real database."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from random import Random

import asyncpg
import pytest

from bus.client import Client
from bus.clock import SECOND, ManualClock, SystemClock
from bus.events import Ticker, Trade
from bus.redis import RedisBus
from daemon.prices import LatestPrices, PriceFeed
from migrations.runner import migrate
from tests.bus.helpers import eventually

KEY = ("binance", "BTC/USDT")
_TRADE = """
insert into md.trades (instrument_id, ts, id, price, amount, side, recv_ns, source)
values (1, md.at($1), $1::int8::text, $2, 1, 'buy', $1, 'ws')
"""


@pytest.fixture
async def pool(database):
    await migrate(database)
    async with asyncpg.create_pool(database, min_size=0, max_size=1) as pool:
        yield pool


@asynccontextmanager
async def running(work):
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_passes_over_the_bus_is_known(valkey_url, bus_prefix):
    clock, prices = SystemClock(), LatestPrices()
    bus = await RedisBus.open(valkey_url, prefix=bus_prefix, random=Random(1))
    feed = PriceFeed(prices, partial(Client, valkey_url, prefix=bus_prefix, random=Random(1)), None, clock)
    async with running(feed.follow()):
        for number in range(1, 1_000):
            now = clock.now()
            await bus.publish(
                [
                    Ticker(*KEY, now, now, "ws", last="5", open="4", high="6", low="3", volume="1"),
                    Trade(*KEY, now + 1, now, "ws", str(number), "7", "1", "buy"),
                ]
            )
            if KEY in prices:
                break
            await asyncio.sleep(0.02)
        await eventually(lambda: prices.quotes([KEY], clock.now())[0].price == "7")
    (quote,) = prices.quotes([KEY], clock.now())
    assert (quote.change_24h, quote.high_24h, quote.low_24h) == ("3", "7", "3")
    await bus.close()


async def test_the_database_says_what_no_ticker_does(pool):
    clock, prices = ManualClock(), LatestPrices()
    minute = 60 * SECOND
    start = clock.now() - 2 * minute
    await pool.execute("insert into md.instruments (exchange, symbol) values ('binance', 'BTC/USDT')")

    async def store(ts: int, price: str) -> None:
        await pool.execute(
            "insert into md.candles values (1, '1m', md.at($1), md.at($1), 4, 6, 3, 5, 2.5, 1, true, 0, 'ws')", ts
        )
        await pool.execute(_TRADE, ts, Decimal(price))

    await store(start, "5.50")
    feed = PriceFeed(prices, lambda: pytest.fail("the bus is not needed"), pool, clock)
    async with running(feed.look()):
        await eventually(lambda: KEY in prices)
        (quote,) = prices.quotes([KEY], clock.now())
        assert (quote.ts, quote.price, quote.change_24h, quote.volume) == (start, "5.50", "1.50", "2.5")
        assert (quote.high_24h, quote.low_24h, quote.change_24h_percent) == ("6", "3", "37.5000")
        await store(start + minute, "5")
        await eventually(lambda: clock._sleepers)
        clock.advance(60)
        await eventually(lambda: prices.quotes([KEY], clock.now())[0].volume == "5.0")


async def test_a_database_that_is_not_ready_is_asked_again(database):
    clock, prices = ManualClock(), LatestPrices()
    async with asyncpg.create_pool(database, min_size=0, max_size=1) as pool:
        feed = PriceFeed(prices, lambda: pytest.fail("the bus is not needed"), pool, clock)
        async with running(feed.look()):
            await eventually(lambda: clock._sleepers)
            await migrate(database)
            await pool.execute("insert into md.instruments (exchange, symbol) values ('binance', 'BTC/USDT')")
            await pool.execute("insert into md.tickers (instrument_id, ts, last, recv_ns, source)"
                               " values (1, now(), 5, 1, 'ws')")  # fmt: skip
            clock.advance(60)
            await eventually(lambda: KEY in prices)
