"""Chunks of subscriptions: every stream once, in order, never more in a message than the exchange allows."""

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


def test_a_refusal_finds_the_feeds_that_its_message_asked_for():
    sender = sender_of([], streams_per_message=1)
    keys = [FeedKey(f"S{number}/USD", "trade") for number in range(REMEMBERED + 5)]
    sender.subscribe(keys)
    sender.unsubscribe(["trade:X"])
    drain(sender)
    assert sender.feeds_of(REMEMBERED) == [keys[REMEMBERED - 1]]
    assert sender.feeds_of(None) == [keys[-1]]
    assert sender.feeds_of(1) == []
