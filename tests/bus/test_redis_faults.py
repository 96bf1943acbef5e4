"""The Redis bus through what happens to servers: killed, truncated, wiped, full, trimmed, shared."""

import asyncio
import itertools
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bus.clock import SystemClock
from bus.errors import ConfigError
from bus.events import Gap
from bus.frames import decode_frame
from bus.interface import Group
from bus.redis import RedisBus
from bus.redis.publisher import SPOOL_AT
from tests.bus.helpers import TRADES, Collecting, eventually, numbers, read_numbers, running, streamed, trade, trades
from tests.valkey import Server


@pytest.mark.parametrize("loss", ["nothing", "the tail", "everything"])
async def test_a_killed_server_costs_no_event_and_doubles_none(server: Server, loss: str):
    bus = await RedisBus.open(server.url)
    sent = 0
    for _ in range(2):
        for _ in range(50):
            await bus.publish(trades(sent, sent + 40))
            sent += 40
            await asyncio.sleep(0)
        server.kill()
        if loss == "the tail":
            with server.log_file().open("r+b") as log:
                log.truncate(max(0, log.seek(0, 2) - 5_000))
        elif loss == "everything":
            for file in (server.folder / "appendonlydir").iterdir():
                file.unlink()
        await bus.publish(trades(sent, sent + 40))
        sent += 40
        await server.start()
        await bus.flush(10)
    found, seqs = await streamed(server.url)
    assert found == list(range(sent))
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    await bus.close()


async def test_two_writers_of_one_stream_share_it_without_loss_or_doubles(server: Server):
    one, two = await RedisBus.open(server.url), await RedisBus.open(server.url)

    async def write(bus: RedisBus, start: int) -> None:
        for number in range(start, start + 300):
            await bus.publish([trade(number)])
            await asyncio.sleep(0)
        await bus.flush(20)

    await asyncio.gather(write(one, 0), write(two, 1_000))
    found, seqs = await streamed(server.url)
    assert sorted(found) == [*range(300), *range(1_000, 1_300)]
    assert [n for n in found if n < 1_000] == list(range(300))
    assert seqs == list(range(1, len(seqs) + 1))
    await one.close()
    await two.close()


async def test_two_writers_whose_clocks_show_the_same_take_no_frame_for_their_own(server: Server):
    class Standing(SystemClock):
        def now(self) -> int:
            return 1_795_268_434_000_000_000

    one, two = [await RedisBus.open(server.url, clock=Standing()) for _ in range(2)]
    await one.publish([trade(0)])
    await one.flush(20)
    await two.publish([trade(1)])
    await two.flush(20)
    await one.publish(trades(2, 2_000))  # frames of which the first has the id and number of the other's
    await one.flush(20)
    found, seqs = await streamed(server.url)
    await one.close()
    await two.close()
    assert found == list(range(2_000))
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_second_life_of_the_writer_goes_on_with_the_numbers(server: Server):
    for start in (0, 10):
        bus = await RedisBus.open(server.url)
        await bus.publish(trades(start, start + 10))
        await bus.close()
    assert await streamed(server.url) == (list(range(20)), [1, 2])


async def test_entries_that_others_wrote_do_not_stop_the_writer(server: Server):
    async with Redis.from_url(server.url) as client:
        await client.xadd("md:binance:trade", {"foreign": "1"}, id="99999999999999-5")
    bus = await RedisBus.open(server.url)
    consumer = await bus.consumer(TRADES)
    await bus.publish(trades(0, 5))
    assert await read_numbers(consumer, 5) == list(range(5))
    await consumer.close()
    await bus.close()


async def test_a_running_handler_survives_a_restart_and_a_wipe_of_the_server(server: Server):
    bus = await RedisBus.open(server.url)
    handler = Collecting()
    async with running(bus, handler):
        await bus.publish(trades(0, 100))
        await eventually(lambda: len(handler.events) == 100)
        server.kill()
        await server.start()
        await bus.publish(trades(100, 200))
        await eventually(lambda: len(set(numbers(handler.events))) == 200, 20)
        async with Redis.from_url(server.url) as client:
            await client.flushall()
        await bus.publish(trades(200, 300))
        await eventually(lambda: len(set(numbers(handler.events))) == 300, 20)
    await bus.close()


async def test_a_destroyed_group_is_made_again_where_it_was(server: Server):
    bus = await RedisBus.open(server.url)
    handler = Collecting()
    async with running(bus, handler):
        await bus.publish(trades(0, 100))
        await eventually(lambda: len(handler.events) == 100)
        async with Redis.from_url(server.url) as client:
            await client.xgroup_destroy("md:binance:trade", "collecting")
        await bus.publish(trades(100, 200))
        await eventually(lambda: len(handler.events) >= 200)
    assert set(numbers(handler.events)) == set(range(200))
    assert len(handler.events) <= 300
    await bus.close()


async def test_frames_trimmed_away_before_they_were_read_are_a_gap(server: Server):
    bus = await RedisBus.open(server.url)
    handler = Collecting()
    async with running(bus, handler):
        await bus.publish([trade(0)])
        await eventually(lambda: handler.events)
    for number in range(1, 6):
        await bus.publish([trade(number)])
        await bus.flush(5)
    async with Redis.from_url(server.url) as client:
        await client.xtrim("md:binance:trade", maxlen=2, approximate=False)
    letters = await bus.consumer(Group("s", frozenset(), system=True))
    async with running(bus, handler):
        delivery = await letters.read(2)
        while not delivery.frames:
            delivery = await letters.read(2)
    (gap,) = delivery.frames[0].events
    assert isinstance(gap, Gap)
    assert (gap.exchange, gap.channel, gap.state) == ("binance", "trade", "open")
    assert "frames 2 to 4" in gap.reason
    assert "collecting" in gap.reason
    await letters.close()
    await bus.close()


async def test_entries_held_by_a_consumer_that_died_are_claimed(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.redis.group_reader.CLAIM_IDLE", 0.05)
    monkeypatch.setattr("bus.redis.group_reader.CLAIM_INTERVAL", 0.05)
    dying = await RedisBus.open(server.url, instance="dying")
    consumer = await dying.consumer(TRADES)
    await dying.publish(trades(0, 10))
    await dying.flush(5)
    await read_numbers(consumer, 10, ack=False)
    await consumer.close()
    living = await RedisBus.open(server.url, instance="living")
    consumer = await living.consumer(TRADES)
    assert await read_numbers(consumer, 10) == list(range(10))
    await consumer.close()
    await living.close()
    await dying.close()


async def test_garbage_on_a_stream_becomes_a_dead_letter_and_the_rest_goes_on(server: Server):
    bus = await RedisBus.open(server.url)
    handler = Collecting()
    await bus.publish([trade(0)])
    await bus.flush(5)
    async with Redis.from_url(server.url) as client:
        await client.xadd("md:binance:trade", {"v": "1", "seq": "x", "events": b"\xc1"})
    await bus.publish([trade(1)])
    letters = await bus.consumer(Group("s", frozenset(), system=True))
    async with running(bus, handler):
        await eventually(lambda: len(handler.events) == 2)
        delivery = await letters.read(2)
        while not delivery.frames:
            delivery = await letters.read(2)
    assert delivery.frames[0].events[0].payload == b"\xc1"
    await letters.close()
    await bus.close()


async def test_a_server_that_evicts_is_refused(server: Server):
    async with Redis.from_url(server.url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigError, match="noeviction"):
        await RedisBus.open(server.url)


async def test_a_full_server_makes_publishers_wait_and_loses_nothing(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.redis.publisher.QUEUE_LIMIT", 100)
    bus = await RedisBus.open(server.url)
    async with Redis.from_url(server.url) as client:
        await bus.publish(trades(0, 10))
        await bus.flush(5)
        await client.config_set("maxmemory", "1kb")
        blocked = asyncio.create_task(bus.publish(trades(10, 500)))
        await eventually(lambda: not bus.connected)
        assert not blocked.done()
        await client.config_set("maxmemory", "0")
    await asyncio.wait_for(blocked, 60)
    await bus.flush(10)
    assert (await streamed(server.url))[0] == list(range(500))
    await bus.close()


async def test_why_a_write_failed_is_known_until_one_succeeds(server: Server):
    bus = await RedisBus.open(server.url)
    await bus.client.config_set("min-replicas-to-write", "1")
    await bus.publish([trade(0)])
    await eventually(lambda: not bus.connected)
    assert "Not enough good replicas to write" in bus.trouble
    await bus.client.config_set("min-replicas-to-write", "0")
    await bus.flush(10)
    await eventually(lambda: bus.connected)
    assert bus.trouble == ""
    await bus.close()


@pytest.mark.parametrize("made_again_by", ["the writer", "a reader"])
async def test_a_server_that_was_emptied_learns_the_streams_names_again(server: Server, made_again_by: str):
    bus, group = await RedisBus.open(server.url), Group("late", frozenset({"trade"}))
    await bus.publish([trade(0)])
    await bus.flush(5)
    await bus.client.flushall()
    if made_again_by == "a reader":
        await bus.client.xgroup_create(bus.names.market("binance", "trade"), "early", "0", mkstream=True)
    await bus.publish([trade(1)])
    await bus.flush(5)
    late = await bus.consumer(group)
    assert await read_numbers(late, 2) == [0, 1]
    await late.close()
    await bus.close()


async def test_what_a_long_outage_holds_up_waits_on_disk_and_lands_in_order(server: Server, tmp_path: Path):
    bus = await RedisBus.open(server.url)
    bus.spool(tmp_path, 100_000_000)
    await bus.publish(trades(0, 100))
    await bus.flush(5)
    server.kill()
    for start in range(100, 300_100, 1_000):
        await bus.publish(trades(start, start + 1_000))
        await asyncio.sleep(0)
    assert not bus.connected
    assert bus._publisher._queued < 2 * SPOOL_AT  # the rest is on disk, and memory stays flat
    assert sum(file.stat().st_size for file in (tmp_path / "0").glob("*.spool")) > 10_000_000
    await server.start()
    await bus.publish(trades(300_100, 300_200))
    await bus.flush(30)
    await bus.publish(trades(300_200, 300_300))
    await bus.flush(5)
    found, seqs = await streamed(server.url)
    assert found == list(range(300_300))
    assert seqs == list(range(1, len(seqs) + 1))
    assert not list((tmp_path / "0").glob("*.spool"))
    await bus.close()


@pytest.mark.parametrize("landed", [0, 30_000])
async def test_a_process_that_ends_while_redis_is_away_leaves_all_to_the_next_one(
    server: Server, tmp_path: Path, landed: int
):
    bus = await RedisBus.open(server.url)
    bus.spool(tmp_path, 100_000_000)
    await bus.publish(trades(0, 100))
    await bus.flush(5)
    server.kill()
    for start in range(100, 60_100, 1_000):
        await bus.publish(trades(start, start + 1_000))
        await asyncio.sleep(0)
    if landed:  # what is on disk stands on the bus in part: the process died while it wrote that
        await server.start()
        async with asyncio.timeout(60):
            while len((await streamed(server.url))[0]) < landed:
                await asyncio.sleep(0)
        server.kill()
    await bus.close()
    await server.start()
    again = await RedisBus.open(server.url)
    again.spool(tmp_path, 100_000_000)
    await again.publish(trades(60_100, 60_200))
    await again.flush(10)
    assert (await streamed(server.url))[0] == list(range(60_200))
    await again.close()


async def test_beyond_its_bound_the_spool_gives_up_the_oldest_and_says_what_is_missing(server: Server, tmp_path: Path):
    bus = await RedisBus.open(server.url)
    bus.spool(tmp_path, 5_000_000)
    await bus.publish(trades(0, 100))
    await bus.flush(5)
    server.kill()
    for start in range(100, 300_100, 1_000):
        await bus.publish(trades(start, start + 1_000))
        await asyncio.sleep(0)
    assert sum(file.stat().st_size for file in (tmp_path / "0").glob("*.spool")) < 10_000_000
    await server.start()
    await bus.flush(30)
    found = (await streamed(server.url))[0]
    assert found == sorted(set(found))
    (hole,) = [(a, b) for a, b in itertools.pairwise(found) if b != a + 1]
    assert found[-1] == 300_099
    async with Redis.from_url(server.url, protocol=2) as client:
        told = [
            event
            for entry, fields in await client.xrange("md:system")
            for event in decode_frame("md:system", entry.decode(), fields)[0].events
        ]
    assert [(event.channel, event.state) for event in told] == [("trade", "down"), ("trade", "live")]
    assert told[0].ts == hole[1] - 1  # trades are received at the time of their number here
    await bus.close()
