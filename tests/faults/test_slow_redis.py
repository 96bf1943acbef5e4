"""Redis takes longer than the exchanges bring: memory stays bounded, books are summed up, every trade is published.

A handler that takes longer is in test_slow_handler.py.
"""

import asyncio

import pytest
from redis.asyncio import Redis

from bus.book import BookBuilder
from bus.events import Book, Trade
from bus.frames import decode_frame
from bus.redis import RedisBus, publisher
from tests.bus.helpers import numbers, trade


def book(number: int) -> Book:
    """One of a chain of updates, of which the first is a snapshot."""
    kind = "delta" if number else "snapshot"
    bids = [(str(100 + number % 7), str(number % 3)), ("99", str(1 + number))]
    return Book("binance", "BTC/USDT", number, number, "ws", kind, bids, [], number, number, number - 1)


async def test_books_are_summed_up_before_anybody_waits_and_trades_never_are(
    valkey_url: str, bus_prefix: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(publisher, "QUEUE_LIMIT", 2_000)
    monkeypatch.setattr(publisher, "CONFLATED_AT_ONCE", 200)
    bus = await RedisBus.open(valkey_url, prefix=bus_prefix)
    longest = 0
    async with Redis.from_url(valkey_url, protocol=2) as other:
        await bus.publish([book(0)])
        await bus.flush(5)
        await other.client_pause(60_000, all=False)  # writes wait, as behind a fork or a slow disk
        try:
            for number in range(1, 10_001):  # five times what the queue holds
                await asyncio.wait_for(bus.publish([book(number), *([] if number % 10 else [trade(number)])]), 60)
                longest = max(longest, bus._publisher._queued)
        finally:
            await other.client_unpause()
        await bus.flush(20)
        assert longest <= 2_001
        published = {}
        for channel in ("book", "trade"):
            stream = bus.names.market("binance", channel)
            entries = await other.xrange(stream)
            published[channel] = [
                e for at, fields in entries for e in decode_frame(stream, at.decode(), fields)[0].events
            ]
    await bus.close()
    assert numbers([e for e in published["trade"] if isinstance(e, Trade)]) == list(range(10, 10_001, 10))
    assert all(event.source == "ws" for event in published["trade"])
    assert len(published["book"]) < 5_000
    built, expected = BookBuilder(), BookBuilder()
    for event in published["book"]:
        assert built.apply(event)
        assert event.source == ("ws" if event.first_id == event.last_id else "derived")
    for number in range(10_001):
        expected.apply(book(number))
    assert built.bids(99) == expected.bids(99)
    assert published["book"][-1].last_id == 10_000
