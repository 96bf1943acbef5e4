"""Leases on a real server: one holder, quick take-over, and a former holder that writes nothing."""

import asyncio
from random import Random

import pytest

from bus.clock import SystemClock
from bus.errors import BusUnavailable
from bus.events import Candle, Feed
from bus.interface import Group
from bus.leadership import Leadership
from bus.redis import RedisBus
from bus.redis.lease import TTL
from bus.subscription import Subscription
from tests.bus.helpers import Collecting, eventually, numbers, read_numbers, trade, trades


@pytest.fixture
async def buses(redis_url: str, bus_prefix: str):
    opened = [await RedisBus.open(redis_url, prefix=bus_prefix) for _ in range(2)]
    yield opened
    for bus in opened:
        await bus.close()


@pytest.fixture
async def leases(buses):
    """A lease for each bus, which says that it may write Binance's streams; the first one is held."""
    claims = [bus.lease("feeds") for bus in buses]
    for bus, lease in zip(buses, claims, strict=True):
        bus.fence("binance", lease)
    await claims[0].renew()
    return claims


async def test_one_process_holds_a_lease_until_it_gives_it_up(buses):
    one, other = (bus.lease("feeds") for bus in buses)
    assert [await one.renew(), await other.renew(), await one.renew()] == [True, False, True]
    assert [await one.wanted(), await other.wanted()] == [True, False]
    await one.release()
    assert await other.renew()
    assert not await one.renew()


async def test_nobody_waits_for_a_lease_that_nobody_else_wants(buses):
    lease = buses[0].lease("feeds")
    await lease.renew()
    assert not await lease.wanted()


async def test_a_lease_that_is_not_renewed_is_free_again(buses, monkeypatch):
    monkeypatch.setattr("bus.redis.lease.TTL", 0.5)
    one, other = (bus.lease("feeds") for bus in buses)
    await one.renew()
    async with asyncio.timeout(10):
        while not await other.renew():
            await asyncio.sleep(0.05)


async def test_who_has_lost_the_lease_writes_nothing_and_goes_on(buses, leases):
    (first, second), (one, other) = buses, leases
    await first.publish(trades(0, 5))
    await first.flush(5)
    await one.release()
    await other.renew()
    await second.publish(trades(5, 10))
    await second.flush(5)
    system = Feed(1, "binance", "BTC/USDT", "trade", "live")
    await first.publish([*trades(5, 8), trade(1, "okx"), system])
    await first.flush(5)
    consumer = await second.consumer(Group("all", frozenset({"trade"})))
    assert sorted(await read_numbers(consumer, 11)) == sorted([*range(10), 1])
    assert not (await consumer.read(0.05)).frames
    await consumer.close()
    assert await second.tail("binance", "trade", 0) == trades(0, 10)
    await other.release()
    await one.renew()
    await first.publish(trades(10, 12))
    await first.flush(5)
    assert numbers(await second.tail("binance", "trade", 0)) == list(range(12))


def candle(minute: int, source: str) -> Candle:
    return Candle("binance", "BTC/USDT", None, minute, source, "1m", minute, "1", "1", "1", "1", "1", 1, closed=True)


@pytest.mark.usefixtures("leases")
async def test_what_a_handler_derives_is_written_whoever_publishes_the_feeds(buses):
    """The lease is about feeds; a handler's own lease may be held by the other process."""
    first, second = buses
    await first.publish([candle(0, "ws")])
    await first.flush(5)
    mixed = [candle(minute, source) for minute in range(1, 40) for source in ("derived", "ws", "derived")]
    await second.publish(mixed)
    await second.flush(5)
    await first.publish([candle(40, "derived"), candle(40, "ws")])
    await first.flush(5)
    ours = [candle(0, "ws"), *(event for event in mixed if event.source == "derived")]
    assert await second.tail("binance", "candle", 0) == [*ours, candle(40, "derived"), candle(40, "ws")]


async def test_while_nobody_holds_the_lease_its_writer_waits_and_loses_nothing(buses):
    first, second = buses
    lease = first.lease("feeds")
    first.fence("binance", lease)
    await lease.renew()
    await first.publish(trades(0, 5))
    await first.flush(5)
    key = lease.fence_key(first.names.market("binance", "trade"))
    await first.client.delete(key)  # as if it had expired while the server was away
    await first.publish(trades(5, 10))
    with pytest.raises(BusUnavailable):
        await first.flush(0.3)
    assert numbers(await second.tail("binance", "trade", 0)) == list(range(5))
    assert await lease.renew()
    await first.flush(5)
    assert numbers(await second.tail("binance", "trade", 0)) == list(range(10))


async def test_after_an_outage_the_one_that_held_the_lease_goes_first(buses, monkeypatch):
    one, other = (bus.lease("feeds") for bus in buses)
    assert [await one.renew(), await other.renew()] == [True, False]

    async def away(*_):
        raise ConnectionError("gone")

    with monkeypatch.context() as patched:
        for bus in buses:
            patched.setattr(bus.client, "eval", away)
        for lease in (one, other):
            with pytest.raises(BusUnavailable):
                await lease.renew()
    await buses[0].client.delete(f"{buses[0].names.prefix}:lease:feeds")
    assert [await other.renew(), await other.renew(), await one.renew(), await other.renew()] == [
        False,
        False,
        True,
        False,
    ]
    await one.release()
    async with asyncio.timeout(TTL + 2):
        while not await other.renew():  # in the end it is not kept for one that never comes
            await asyncio.sleep(0.05)


async def test_a_handler_is_fed_by_one_process_at_a_time_and_the_other_takes_over(buses):
    handlers = [Collecting(), Collecting()]
    parts = [Subscription(bus, handler, SystemClock(), Random(1)) for bus, handler in zip(buses, handlers, strict=True)]
    tasks = []
    for part in parts:
        tasks.append(asyncio.create_task(part.run()))
        await eventually(lambda: parts[0].acts)
    await buses[0].publish(trades(0, 100))
    await eventually(lambda: len(handlers[0].events) == 100)
    assert not handlers[1].events
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    await buses[0].publish(trades(100, 200))
    await eventually(lambda: len(handlers[1].events) == 100)
    assert numbers(handlers[1].events) == list(range(100, 200))
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)


async def test_work_ends_when_the_lease_is_lost_and_begins_again(buses):
    lease, thief = (bus.lease("work") for bus in buses)
    runs, ends = [], []

    async def work() -> None:
        runs.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(1)

    leadership = Leadership("work", lease, SystemClock())
    task = asyncio.create_task(leadership.work(work))
    await eventually(lambda: runs)
    await lease.release()
    assert await thief.renew()
    await eventually(lambda: ends)
    await thief.release()
    await eventually(lambda: len(runs) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not leadership.held


async def test_an_error_of_the_work_comes_out(buses):
    async def work() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        await Leadership("work", buses[0].lease("work"), SystemClock()).work(work)


class Leaping(SystemClock):
    """A clock as a process sees it that stands still: time leaps."""

    def __init__(self) -> None:
        self.leapt = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt


async def test_who_has_stood_still_hands_nothing_over_before_it_knows_that_it_may(buses):
    handler, clock = Collecting(), Leaping()
    subscription = Subscription(buses[0], handler, clock, Random(1))
    task = asyncio.create_task(subscription.run())
    await buses[1].publish([trade(0)])
    await eventually(lambda: handler.events)
    holder = f"{buses[0].names.prefix}:lease:handler:collecting"
    await buses[1].client.set(holder, "another process", px=1_500)
    clock.leapt += TTL
    await buses[1].publish([trade(1)])
    await buses[1].flush(5)
    await eventually(lambda: not subscription.acts)
    assert numbers(handler.events) == [0]
    await eventually(lambda: len(handler.events) == 2)  # when the other one has gone
    assert numbers(handler.events) == [0, 1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_is_cut_off_hands_nothing_over_before_it_knows_that_it_may(buses, monkeypatch):
    handler, clock, renewals = Collecting(), Leaping(), []

    async def away() -> bool:
        renewals.append(1)
        raise BusUnavailable("gone")

    subscription = Subscription(buses[0], handler, clock, Random(1))
    task = asyncio.create_task(subscription.run())
    await buses[1].publish([trade(0)])
    await eventually(lambda: handler.events)
    with monkeypatch.context() as cut:
        cut.setattr(subscription._leadership.lease, "renew", away)
        holder = f"{buses[0].names.prefix}:lease:handler:collecting"
        await buses[1].client.set(holder, "another process", px=60_000)
        clock.leapt += TTL
        await buses[1].publish([trade(1)])
        await buses[1].flush(5)
        await eventually(lambda: len(renewals) >= 2)
        assert numbers(handler.events) == [0]
    await eventually(lambda: not subscription.acts)
    await buses[1].client.delete(holder)
    await eventually(lambda: len(handler.events) == 2)
    assert numbers(handler.events) == [0, 1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_given_to_a_process_that_has_lost_the_lease_is_read_in_its_place(buses):
    group = Group("g", frozenset({"trade"}))
    lost = await buses[0].consumer(group)
    await publish_apart(buses[0], 0, 3)
    assert await read_numbers(lost, 3) == [0, 1, 2]
    assert not (await lost.read(0.05)).frames  # the acknowledgement is on its way
    reading = await buses[1].consumer(group)
    assert not (await reading.read(0.05)).frames
    await publish_apart(buses[0], 3, 6)
    assert await read_numbers(lost, 3, ack=False) == [3, 4, 5]
    await publish_apart(buses[0], 6, 12)
    assert await read_numbers(reading, 9) == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    for consumer in (lost, reading):
        await consumer.close()


# on a cluster a consumer goes on reading between two calls, and would take what the other one is to get
@pytest.mark.parametrize("redis_url", ["valkey_url"], indirect=True)
async def test_what_is_claimed_from_the_dead_hides_nothing_that_was_given_before(buses, monkeypatch):
    monkeypatch.setattr("bus.redis.group_reader.CLAIM_INTERVAL", 0.0)
    group, stream = Group("g", frozenset({"trade"})), buses[0].names.market("binance", "trade")
    lost, reading = [await bus.consumer(group) for bus in buses]
    await publish_apart(buses[0], 0, 2)
    assert await read_numbers(reading, 2) == [0, 1]
    assert not (await reading.read(0.05)).frames  # the acknowledgement is on its way
    await publish_apart(buses[0], 2, 4)
    assert await read_numbers(lost, 2, ack=False) == [2, 3]
    await publish_apart(buses[0], 4, 5)
    ((_, ((entry, _),)),) = await buses[0].client.xreadgroup("g", "dead", {stream: ">"})
    await buses[0].client.xclaim(stream, "g", "dead", 0, [entry], idle=600_000)
    assert await read_numbers(reading, 1, ack=False) == [4]
    await publish_apart(buses[0], 5, 6)
    assert set(await read_numbers(reading, 4)) == {2, 3, 4, 5}
    for consumer in (lost, reading):
        await consumer.close()


async def publish_apart(bus: RedisBus, start: int, stop: int) -> None:
    """Publish trades in a frame each."""
    for one in trades(start, stop):
        await bus.publish([one])
        await bus.flush(5)
