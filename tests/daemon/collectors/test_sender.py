"""Chunks of subscriptions: every stream once, in order, never more in a message than the exchange allows."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from bus.clock import ManualClock
from daemon.collectors.sender import REMEMBERED, Sender
from daemon.exchanges.base import FeedKey
from tests.daemon.collectors.helpers import Tiny


def sender_of(subscribed, **limits):
    return Sender(Tiny(**limits), ManualClock(), subscribed.append)


def drain(sender):
    texts = []
    while (text := sender._next()) is not None:
        texts.append(text)
    return texts


@given(st.integers(0, 60), st.integers(1, 10))
def test_every_stream_is_asked_for_once_and_in_order(feeds, most):
    subscribed = []
    sender = sender_of(subscribed, streams_per_message=most)
    keys = [FeedKey(f"S{number}/USD", "trade") for number in range(feeds)]
    sender.subscribe(keys)
    messages = [json.loads(text) for text in drain(sender)]
    assert [stream for message in messages for stream in message["sub"]] == [f"trade:{key.symbol}" for key in keys]
    assert all(1 <= len(message["sub"]) <= most for message in messages)
    assert [key for chunk in subscribed for key in chunk] == keys
    assert not sender.waiting


def test_texts_overtake_subscriptions_that_wait():
    sender = sender_of([], streams_per_message=1)
    sender.subscribe([FeedKey("AAA/USD", "trade"), FeedKey("BBB/USD", "trade")])
    sender._next()
    sender.text("pong")
    assert sender._next() == "pong"


async def test_an_hours_quota_holds_up_subscriptions_and_no_ping():
    sent, clock = [], ManualClock()

    class Socket:
        async def send_str(self, text):
            sent.append(text)

    async def settled():
        for _ in range(20):
            await asyncio.sleep(0)
        clock.advance(1)
        for _ in range(20):
            await asyncio.sleep(0)

    sender = Sender(Tiny(streams_per_message=1, messages_per_hour=3, message_interval=0.1), clock, lambda _: None)
    sender.subscribe([FeedKey(f"S{number}/USD", "trade") for number in range(5)])
    task = asyncio.create_task(sender.run(Socket()))
    for _ in range(10):
        await settled()
    assert len(sent) == 3
    sender.text("ping")
    await settled()
    assert sent[3:] == ["ping"]
    clock.advance(3_600)
    for _ in range(10):
        await settled()
    assert len(sent) == 6
    assert not sender.waiting
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_refusal_finds_the_feeds_that_its_message_asked_for():
    sender = sender_of([], streams_per_message=1)
    keys = [FeedKey(f"S{number}/USD", "trade") for number in range(REMEMBERED + 5)]
    sender.subscribe(keys)
    sender.unsubscribe(["trade:X"])
    drain(sender)
    assert sender.feeds_of(REMEMBERED) == [keys[REMEMBERED - 1]]
    assert sender.feeds_of(None) == [keys[-1]]
    assert sender.feeds_of(1) == []
