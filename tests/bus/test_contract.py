"""What every event bus must do: one suite for all implementations."""

import asyncio
from collections.abc import AsyncIterator

import msgpack
import pytest

from bus.errors import BusUnavailable, StoreUnavailable
from bus.events import Dead, Feed
from bus.handler import Batch
from bus.interface import EventBus, Group
from bus.local import LocalBus
from bus.redis import RedisBus
from tests.bus.helpers import TRADES, Collecting, eventually, numbers, read_numbers, running, trade, trades

SYSTEM = Group("s", frozenset(), system=True)


@pytest.fixture(params=["local", "valkey_url", "cluster_url"])
def url(request: pytest.FixtureRequest) -> str:
    return "local" if request.param == "local" else str(request.getfixturevalue(request.param))


@pytest.fixture
async def bus(url: str, bus_prefix: str) -> AsyncIterator[EventBus]:
    made: EventBus = LocalBus(bus_prefix) if url == "local" else await RedisBus.open(url, prefix=bus_prefix)
    yield made
    await made.close()


async def test_events_come_in_the_order_in_which_they_were_published(bus: EventBus):
    consumer = await bus.consumer(TRADES)
    for start in range(0, 5_000, 7):
        await bus.publish(trades(start, min(start + 7, 5_000)))
    assert await read_numbers(consumer, 5_000) == list(range(5_000))
    await consumer.close()


async def test_frame_numbers_are_contiguous_and_frames_hold_at_most_512_events(bus: EventBus):
    consumer = await bus.consumer(TRADES)
    await bus.publish(trades(0, 2_000))
    await bus.flush(5)
    frames = []
    while sum(len(frame.events) for frame in frames) < 2_000:
        frames += (await consumer.read(1)).frames
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert max(len(frame.events) for frame in frames) <= 512
    await consumer.close()


async def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(bus: EventBus):
    consumer = await bus.consumer(TRADES)
    await bus.publish(trades(0, 10))
    await bus.flush(5)
    assert await read_numbers(consumer, 10, ack=False) == list(range(10))
    await consumer.rewind()
    assert await read_numbers(consumer, 10) == list(range(10))
    await consumer.rewind()
    assert (await consumer.read(0.05)).frames == []
    await consumer.close()


async def test_a_consumer_that_starts_again_goes_on_with_its_own_pending_first(bus: EventBus):
    first = await bus.consumer(TRADES)
    await bus.publish(trades(0, 10))
    await bus.flush(5)
    await read_numbers(first, 10, ack=False)
    await first.close()
    await bus.publish(trades(10, 20))
    await bus.flush(5)
    second = await bus.consumer(TRADES)
    assert await read_numbers(second, 20) == list(range(20))
    await second.close()


async def test_what_a_handler_has_not_settled_is_not_acknowledged(bus: EventBus):
    class Holding(Collecting):
        settled = False

    first = Holding()
    async with running(bus, first):
        await bus.publish(trades(0, 10))
        await eventually(lambda: len(first.events) == 10)
    second = Holding()
    async with running(bus, second) as subscription:
        await eventually(lambda: len(second.events) == 10)
        await bus.publish(trades(10, 20))
        await eventually(lambda: len(second.events) == 20)
        assert not subscription.caught_up.is_set()
        Holding.settled = True
        await eventually(subscription.caught_up.is_set)
    third = Holding()
    async with running(bus, third):
        await bus.publish(trades(20, 30))
        await eventually(lambda: len(third.events) == 10)
    assert numbers(third.events) == list(range(20, 30))


async def test_groups_are_independent(bus: EventBus):
    one, two = await bus.consumer(TRADES), await bus.consumer(Group("other", frozenset({"trade"})))
    await bus.publish(trades(0, 50))
    assert await read_numbers(one, 50) == list(range(50))
    assert await read_numbers(two, 50) == list(range(50))
    await one.close()
    await two.close()


async def test_a_group_reads_only_its_channels_and_the_system_streams_if_it_asks(bus: EventBus):
    feed = Feed(1, "binance", "BTC/USDT", "trade", "live")
    dead = Dead(1, "i", "o", "parse", "broken", b"\xff")
    consumer = await bus.consumer(SYSTEM)
    await bus.publish([trade(1), feed, dead])
    events = []
    while len(events) < 2:
        delivery = await consumer.read(1)
        events += [event for frame in delivery.frames for event in frame.events]
    assert sorted(events, key=repr) == sorted([feed, dead], key=repr)
    await consumer.close()


async def test_a_group_that_starts_now_sees_nothing_older(bus: EventBus):
    await bus.publish([trade(1)])
    await bus.flush(5)
    consumer = await bus.consumer(Group("n", frozenset({"trade"}), start_at="now"))
    await consumer.read(0.01)
    await bus.publish([trade(2)])
    assert await read_numbers(consumer, 1) == [2]
    await consumer.close()


async def test_a_stream_that_appears_later_is_picked_up_from_its_beginning(bus: EventBus):
    consumer = await bus.consumer(TRADES)
    await bus.publish([trade(1)])
    assert await read_numbers(consumer, 1) == [1]
    await bus.publish([trade(number, "okx") for number in range(5)])
    assert await read_numbers(consumer, 5) == list(range(5))
    await consumer.close()


async def test_who_waits_for_a_handler_waits_for_streams_too_that_have_just_appeared(bus: EventBus):
    handler = Collecting()
    async with running(bus, handler) as subscription:
        for number in range(3):
            await bus.publish([trade(1, f"exchange{number}")])
            await bus.flush(10)
            await subscription.catch_up()
            assert len(handler.events) == number + 1


async def test_state_is_kept_by_handler(bus: EventBus):
    await bus.state.save("gaps", {"a": b"1", "b": b"2"})
    await bus.state.save("gaps", {"b": b"3"})
    assert await bus.state.load("gaps") == {"a": b"1", "b": b"3"}
    assert await bus.state.load("other") == {}


async def test_a_handler_is_fed_and_told_how_far_it_is(bus: EventBus):
    handler = Collecting()
    async with running(bus, handler) as subscription:
        await bus.publish(trades(0, 1_000))
        await eventually(lambda: len(handler.events) == 1_000)
        await asyncio.wait_for(subscription.caught_up.wait(), 60)
        await eventually(lambda: handler.ticks)
    assert numbers(handler.events) == list(range(1_000))
    position = handler.batches[-1].positions[bus.names.market("binance", "trade")]
    assert position.seq >= 1


async def test_what_a_handler_returns_is_published(bus: EventBus):
    feed = Feed(1, "binance", "BTC/USDT", "trade", "live")
    consumer = await bus.consumer(SYSTEM)
    async with running(bus, Collecting(returns=[feed])):
        await bus.publish([trade(1)])
        delivery = await consumer.read(2)
        while not delivery.frames:
            delivery = await consumer.read(2)
    assert delivery.frames[0].events == [feed]
    await consumer.close()


async def test_a_poison_event_is_cut_out_of_its_frame_and_the_rest_goes_on(bus: EventBus):
    poison = {"3", "777"}

    def trouble(batch: Batch) -> None:
        if any(event.id in poison for event in batch.events):
            raise ValueError("cannot digest this")

    handler = Collecting(trouble)
    letters = await bus.consumer(SYSTEM)
    async with running(bus, handler):
        await bus.publish(trades(0, 1_000))
        await eventually(lambda: len(handler.events) == 998)
        dead: list[Dead] = []
        while len(dead) < 2:
            delivery = await letters.read(1)
            dead += [event for frame in delivery.frames for event in frame.events]
            await letters.ack(delivery.frames)
        await bus.publish([trade(1_000)])
        await eventually(lambda: len(handler.events) == 999)
    assert numbers(handler.events) == [n for n in range(1_001) if str(n) not in poison]
    assert [msgpack.unpackb(letter.payload)["id"] for letter in dead] == ["3", "777"]
    assert all("cannot digest this" in letter.reason and letter.handler == "collecting" for letter in dead)
    assert dead[0].origin.startswith(bus.names.market("binance", "trade") + "/")
    await letters.close()


async def test_while_the_store_is_away_nothing_is_acknowledged_and_nothing_is_poison(bus: EventBus):
    away = [True, True, True]

    def trouble(_: Batch) -> None:
        if away:
            away.pop()
            raise StoreUnavailable("the database is away")

    handler = Collecting(trouble)
    async with running(bus, handler):
        await bus.publish(trades(0, 10))
        await eventually(lambda: len(handler.events) == 10)
    assert numbers(handler.events) == list(range(10))
    letters = await bus.consumer(SYSTEM)
    assert (await letters.read(0.1)).frames == []
    await letters.close()


async def test_a_hanging_handler_is_cut_off_at_its_deadline_and_gets_the_batch_again(bus: EventBus):
    class Hanging(Collecting):
        deadline = 0.05
        hung = False

        async def handle(self, batch: Batch) -> list:
            if not self.hung:
                self.hung = True
                await asyncio.Event().wait()
            self.events += batch.events
            return []

    handler = Hanging()
    async with running(bus, handler):
        await bus.publish(trades(0, 10))
        await eventually(lambda: len(handler.events) == 10)
    assert handler.hung


async def test_a_handler_stopped_in_the_middle_gets_the_batch_again(bus: EventBus):
    started = asyncio.Event()

    class Slow(Collecting):
        async def handle(self, batch: Batch) -> list:
            started.set()
            await asyncio.Event().wait()
            return []

    async with running(bus, Slow()):
        await bus.publish(trades(0, 10))
        await asyncio.wait_for(started.wait(), 60)
    handler = Collecting()
    async with running(bus, handler):
        await eventually(lambda: len(handler.events) == 10)


async def test_a_closed_bus_refuses_events(bus: EventBus):
    await bus.close()
    with pytest.raises(BusUnavailable):
        await bus.publish([trade(1)])
