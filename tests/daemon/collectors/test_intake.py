"""What must not leave the process, what nobody asked for, and the patience of tasks that keep crashing."""

import asyncio
import itertools
from random import Random

import pytest

from bus.clock import ManualClock
from bus.events import Dead, Feed, Funding, MarkPrice, Trade
from daemon.collectors.board import FeedBoard
from daemon.collectors.intake import Intake, public_url
from daemon.collectors.outbox import Outbox
from daemon.collectors.tasks import keep_running
from daemon.exchanges.base import FeedKey
from daemon.exchanges.binanceusdm import BinanceUsdm
from tests.daemon.collectors.helpers import ListeningBus, Tiny


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("wss://user:pass@host:9443/stream?listenKey=abc#x", "wss://host:9443/stream"),
        ("https://api.example.com/api/v3/depth?symbol=A&signature=s", "https://api.example.com/api/v3/depth"),
        ("ws://[::1]:80/ws", "ws://[::1]:80/ws"),
    ],
)
def test_a_public_url_has_no_user_no_password_and_no_query(url, public):
    assert public_url(url) == public


async def test_what_keeps_crashing_is_started_again_after_pauses_and_ends_when_cancelled():
    clock, runs = ManualClock(), []

    async def crash():
        runs.append(clock.monotonic())
        await asyncio.sleep(0)
        raise RuntimeError("again")

    task = asyncio.create_task(keep_running("test", crash, clock, Random(1)))
    for _ in range(200):
        clock.advance(0.5)
        for _ in range(4):
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert 5 <= len(runs) <= 40
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(runs))


async def test_what_comes_along_in_another_channels_stream_is_published_where_it_is_wanted():
    clock = ManualClock()
    outbox = Outbox(ListeningBus(), clock)
    board = FeedBoard("binanceusdm", outbox, clock)
    intake = Intake(BinanceUsdm(), board, outbox, clock)
    board.add([FeedKey("BTC/USDT:USDT", "funding")])
    mark = (
        b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT",'
        b'"p":"11794.1","i":"11784.6","P":"11784.2","r":"0.0003","T":1562306400000}}'
    )
    digest = intake.frames([mark], "wss://x", 1)
    assert [type(event) for event in digest.events] == [Funding]
    board.add([FeedKey("BTC/USDT:USDT", "mark_price")])
    digest = intake.frames([mark.replace(b"1562305380000", b"1562305381000")], "wss://x", 1)
    assert [type(event) for event in digest.events] == [MarkPrice]


async def test_an_unreadable_message_without_a_number_is_told_as_an_interruption_where_it_came():
    class Torn(Tiny):
        def torn(self, frame, connection=0):
            return [FeedKey("AAA/USD", "trade")] if b"AAA" in frame else ()

    bus, clock = ListeningBus(), ManualClock()
    outbox = Outbox(bus, clock)
    intake = Intake(Torn(), FeedBoard("tiny", outbox, clock), outbox, clock)
    frames = [b'{"t":"AAA/USD","id":1}', b'{"t":"AAA/USD","i', b'{"t":"AAA/USD","id":2}', b"{"]
    digest = intake.frames(frames, "ws://x", 1)
    await outbox.publish(digest.events)
    before, after = (event.recv for event in bus.of(Trade))
    down, live = bus.of(Feed)
    assert (down.state, live.state, down.symbol, down.channel) == ("down", "live", "AAA/USD", "trade")
    assert before < down.ts == live.ts < after
    assert len(bus.of(Dead)) == 2


async def test_an_unreadable_message_that_may_have_been_about_any_trades_interrupts_all_of_them():
    class Torn(Tiny):
        def torn(self, frame, connection=0):
            return None

    bus, clock = ListeningBus(), ManualClock()
    outbox = Outbox(bus, clock)
    board = FeedBoard("tiny", outbox, clock)
    board.add([FeedKey("AAA/USD", "trade"), FeedKey("AAA/USD", "book"), FeedKey("BBB/USD", "trade")])
    await outbox.publish()
    before = len(bus.of(Feed))
    await outbox.publish(Intake(Torn(), board, outbox, clock).frames([b"{"], "ws://x", 1).events)
    said = [(event.symbol, event.channel, event.state) for event in bus.of(Feed)[before:]]
    assert said == [(symbol, "trade", state) for symbol in ("AAA/USD", "BBB/USD") for state in ("down", "live")]
