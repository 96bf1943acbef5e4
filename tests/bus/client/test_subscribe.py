"""Subscribing from Python: filters, where it begins, durable places, broken connections, frames that are gone."""

import asyncio
from contextlib import aclosing, suppress
from itertools import pairwise
from random import Random

import pytest
from redis.asyncio import Redis

from bus.client import Client
from bus.errors import BusUnavailable, UsageError
from bus.events import Feed, Ticker, Trade
from bus.redis import RedisBus

BASE = 1_700_000_000_000_000_000


def trade(number: int, exchange: str = "binance", symbol: str = "BTC/USDT") -> Trade:
    return Trade(exchange, symbol, BASE + number, BASE + number, "ws", str(number), "61837.63000000", "0.02", "buy")


async def take(events, count: int) -> list:
    """The next so many events; the one asked for last stays with the consumer."""
    found = []
    async with asyncio.timeout(60):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


class Listening:
    """A subscription that runs in the background, so that it has begun before anything is published."""

    def __init__(self, events):
        self.found = []
        self._task = asyncio.create_task(self._listen(events))

    async def _listen(self, events):
        async with aclosing(events):
            async for event in events:
                self.found.append(event)

    async def until(self, count: int) -> list:
        async with asyncio.timeout(60):
            while len(self.found) < count:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.005)
        return self.found

    async def end(self):
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def listen():
    running = []

    def start(events):
        running.append(Listening(events))
        return running[-1]

    yield start
    for one in running:
        await one.end()


async def begun(redis_url: str) -> None:
    """Wait until somebody waits for frames with XREAD."""
    async with Redis.from_url(redis_url) as redis, asyncio.timeout(60):
        while not any(one["cmd"] == "xread" and "b" in one["flags"] for one in await redis.client_list()):
            await asyncio.sleep(0.005)


async def test_from_now_typed_and_filtered(bus, client, valkey_url, listen):
    await bus.publish([trade(1), trade(2, "okx")])
    await bus.flush(5)
    listening = listen(client.subscribe(exchange="binance", channel=["trade", "ticker"], symbol="BTC/USDT"))
    await begun(valkey_url)
    ticker = Ticker("binance", "BTC/USDT", None, BASE, "ws", bid="1.10")
    await bus.publish([trade(3), trade(4, "okx"), trade(5, symbol="ETH/USDT"), ticker, trade(6)])
    found = await listening.until(3)
    assert [event.id for event in found if isinstance(event, Trade)] == ["3", "6"]
    assert [event for event in found if isinstance(event, Ticker)] == [ticker]


async def test_a_stream_that_appears_later_is_read_from_its_beginning(bus, client, valkey_url, listen):
    listening = listen(client.subscribe(channel="trade"))
    await asyncio.sleep(0)
    await bus.publish([trade(0, "kraken")])
    await bus.flush(5)
    await begun(valkey_url)
    await bus.publish([trade(number, "okx") for number in range(1, 4)])
    found = await listening.until(3)
    assert [event.id for event in found if event.exchange == "okx"] == ["1", "2", "3"]


async def test_from_a_time(bus, client):
    await bus.publish([trade(1), trade(2), trade(3)])
    await bus.flush(5)
    assert [e.id for e in await take(client.subscribe(since=BASE), 3)] == ["1", "2", "3"]
    assert [e.id for e in await take(client.subscribe(since=BASE + 2), 2)] == ["2", "3"]


async def test_what_happens_to_feeds_is_a_channel_by_name(bus, client):
    feed = Feed(BASE, "binance", "*", "*", "live")
    await bus.publish([feed, trade(1), Feed(BASE, "okx", "*", "*", "down")])
    await bus.flush(5)
    assert await take(client.subscribe(channel="system", exchange="binance", since=BASE), 1) == [feed]
    with pytest.raises(UsageError, match="there is no channel 'trades'"):
        await take(client.subscribe(channel="trades"), 1)


async def test_a_durable_group_goes_on_behind_what_it_has_dealt_with(bus, client, valkey_url, bus_prefix):
    for number in range(6):
        await bus.publish([trade(number)])
        await bus.flush(5)  # a frame each
    async with aclosing(client.subscribe(channel="trade", group="reports", since=BASE)) as events:
        assert [event.id for event in await take(events, 3)] == ["0", "1", "2"]
        await asyncio.sleep(0.11)  # places are saved ten times a second at most
        assert (await take(events, 1))[0].id == "3"
    async with Client(valkey_url, prefix=bus_prefix) as later:
        again = await take(later.subscribe(channel="trade", group="reports"), 3)
        assert [event.id for event in again] == ["3", "4", "5"]
        other = await take(later.subscribe(channel="trade", group="other", since=BASE), 6)
        assert [event.id for event in other] == ["0", "1", "2", "3", "4", "5"]


async def test_a_durable_group_misses_nothing_through_crashes(bus, client):
    """However often it breaks off, everything comes, in order but for repetitions."""
    total = 400
    for start in range(0, total, 20):
        await bus.publish([trade(number) for number in range(start, start + 20)])
        await bus.flush(5)
    seen: list[int] = []
    crashes = 0
    while total - 1 not in seen:
        crashes += 1
        async with aclosing(client.subscribe(channel="trade", group="g", since=BASE)) as events:
            async for event in events:
                seen.append(int(event.id))
                await asyncio.sleep(0.001)
                if seen[-1] == total - 1 or len(seen) % 130 == 0:
                    break
    assert crashes > 2
    assert set(seen) == set(range(total))
    assert all(after == before + 1 or after <= before for before, after in pairwise(seen))


async def test_broken_connections_are_survived_without_loss(bus, client, valkey_url, listen):
    await bus.publish([trade(0)])
    await bus.flush(5)
    listening = listen(client.subscribe(channel="trade", since=BASE))
    await listening.until(1)
    async with Redis.from_url(valkey_url) as redis:
        for number in range(1, 6):
            await redis.client_kill_filter(_type="normal", skipme=True)
            await bus.publish([trade(number)])
            await listening.until(number + 1)
    assert [event.id for event in listening.found] == [str(number) for number in range(6)]


async def test_frames_that_are_gone_are_told(bus, client, valkey_url, bus_prefix):
    await bus.publish([trade(1)])
    await bus.flush(5)
    losses = []
    async with aclosing(client.subscribe(channel="trade", group="g", since=BASE)) as events:
        await take(events, 1)
        await asyncio.sleep(0.11)
        await bus.publish([trade(2)])
        await take(events, 1)
    for number in range(3, 6):
        await bus.publish([trade(number)])
        await bus.flush(5)
    async with Redis.from_url(valkey_url) as redis:
        await redis.xtrim(f"{bus_prefix}:binance:trade", maxlen=1, approximate=False)
    (event,) = await take(client.subscribe(channel="trade", group="g", on_loss=losses.append), 1)
    assert event.id == "5"
    (loss,) = losses
    assert (loss.stream, loss.from_seq, loss.to_seq) == (f"{bus_prefix}:binance:trade", 2, 4)


async def test_an_address_where_nobody_is_is_said_at_once(tmp_path):
    async with Client(f"unix://{tmp_path}/none.sock") as client:
        with pytest.raises(BusUnavailable, match=r"none\.sock"):
            await take(client.subscribe(), 1)


async def test_a_killed_server_is_waited_for_until_patience_ends(server, listen):
    bus = await RedisBus.open(server.url, random=Random(1))
    async with Client(server.url, patience=10, random=Random(1)) as patient, Client(server.url, patience=0.2) as hasty:
        await bus.publish([trade(1)])
        await bus.flush(5)
        listening = listen(patient.subscribe(since=BASE))
        await listening.until(1)
        async with aclosing(hasty.subscribe(since=BASE)) as events:
            await take(events, 1)
            server.kill()
            with pytest.raises(BusUnavailable, match=r"v\.sock"):
                await take(events, 1)
        await bus.publish([trade(2)])
        await server.start()
        assert [event.id for event in await listening.until(2)] == ["1", "2"]
        await listening.end()
    await bus.close()


async def test_the_exchanges_that_are_there_are_told(bus, client):
    assert await client.exchanges() == []
    await bus.publish([trade(1), trade(2, "okx"), Ticker("okx", "BTC/USDT", None, BASE, "ws", bid="1.10")])
    await bus.flush(5)
    assert await client.exchanges() == ["binance", "okx"]
