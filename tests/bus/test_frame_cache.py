"""What is read by several handlers is decoded once, and is never taken for something else."""

from bus.frames import encode_events
from bus.interface import Group
from bus.redis import RedisBus, frame_cache
from bus.redis.frame_cache import FrameCache
from tests.bus.helpers import numbers, read_events, trades

UNKNOWN = {b"v": b"1", b"seq": b"1", b"events": b"\x91\x81\xa4type\xa1x"}
"""A frame with one event of a kind that there is not."""


def fields(start: int, stop: int) -> dict[bytes, bytes]:
    return {b"v": b"1", b"seq": b"1", b"n": b"1", b"events": encode_events(trades(start, stop))}


def test_the_second_reader_gets_what_the_first_one_got():
    cache = FrameCache()
    first, _ = cache.decode("s", "1-0", fields(0, 3))
    second, _ = cache.decode("s", "1-0", fields(0, 3))
    assert second is first
    assert numbers(first.events) == [0, 1, 2]


def test_another_stream_or_an_id_given_again_is_decoded_for_itself():
    cache = FrameCache()
    cache.decode("s", "1-0", fields(0, 3))
    other, _ = cache.decode("t", "1-0", fields(3, 6))
    again, _ = cache.decode("s", "1-0", fields(6, 9))
    assert (other.stream, numbers(other.events)) == ("t", [3, 4, 5])
    assert numbers(again.events) == [6, 7, 8]


def test_what_cannot_be_decoded_is_handed_to_every_reader():
    cache = FrameCache()
    assert [len(cache.decode("s", "1-0", UNKNOWN)[1]) for _ in range(2)] == [1, 1]


def test_it_keeps_the_newest_events_alone(monkeypatch):
    monkeypatch.setattr(frame_cache, "EVENTS_KEPT", 10)
    cache = FrameCache()
    found = [cache.decode("s", f"{n}-0", fields(4 * n, 4 * n + 4))[0] for n in range(5)]
    kept = [cache.decode("s", f"{n}-0", fields(4 * n, 4 * n + 4))[0] is found[n] for n in (4, 3, 0)]
    assert kept == [True, True, False]


def test_frames_of_which_nothing_can_be_decoded_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(frame_cache, "EVENTS_KEPT", 10)
    cache = FrameCache()
    first, _ = cache.decode("s", "0-0", UNKNOWN)
    for n in range(1, 30):
        cache.decode("s", f"{n}-0", UNKNOWN)
    assert cache.decode("s", "0-0", UNKNOWN)[0] is not first


async def test_the_handlers_of_a_process_have_the_same_events(redis_url, bus_prefix):
    bus = await RedisBus.open(redis_url, prefix=bus_prefix)
    consumers = [await bus.consumer(Group(name, frozenset({"trade"}))) for name in ("one", "other")]
    await bus.publish(trades(0, 3))
    await bus.flush(5)
    one, other = [await read_events(consumer, 3) for consumer in consumers]
    assert numbers(one) == [0, 1, 2]
    assert all(mine is theirs for mine, theirs in zip(one, other, strict=True))
    for consumer in consumers:
        await consumer.close()
    await bus.close()
