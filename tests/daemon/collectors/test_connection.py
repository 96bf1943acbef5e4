"""Reading, sending and noticing the end of one connection, against a scripted exchange."""

import asyncio
import itertools
import json

import aiohttp
import pytest

from bus import metrics
from bus.events import Candle, Ticker, Trade
from daemon.collectors import dialler
from daemon.collectors.intake import PAYLOAD_KEPT
from daemon.exchanges.base import FeedKey
from tests.daemon.collectors.helpers import Tiny


def count(counter, *labels):
    return counter.labels(*labels)._value.get()


async def test_frames_become_events_in_order_with_strictly_rising_receive_times(stage):
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"]):
        peer = await stage.subscribed(2)
        for number in range(100):
            await peer.send({"t": "AAA/USD" if number % 2 else "BBB/USD", "id": number})
        await stage.until(lambda: len(stage.bus.of(Trade)) == 100)
    trades = stage.bus.of(Trade)
    assert [int(trade.id) for trade in trades] == list(range(100))
    received = [trade.recv for trade in trades]
    assert received == sorted(set(received))  # although the clock stands still
    assert stage.bus.states("AAA/USD") == ["connecting", "live", "down"]
    assert stage.bus.states("BBB/USD") == ["connecting", "live", "down"]


async def test_what_is_buffered_is_published_at_once_and_not_frame_by_frame(stage):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        before = stage.bus.publishes
        frame = b"".join(_raw_text(json.dumps({"t": "AAA/USD", "id": number})) for number in range(500))
        peer.socket._req.transport.write(frame)  # 500 frames in one segment
        await stage.until(lambda: len(stage.bus.of(Trade)) == 500)
        assert stage.bus.publishes - before <= 5


def _raw_text(text: str) -> bytes:
    assert len(text) < 126
    return bytes([0x81, len(text)]) + text.encode()


async def test_aiohttp_still_tells_what_it_holds(stage):
    async with stage.running(Tiny()):
        await stage.subscribed()
        async with stage.session.ws_connect(f"{stage.server.url}/ws") as socket:
            buffer = socket._reader._buffer
            assert not buffer
            await stage.server.peers[-1].send({"q": "AAA/USD"})
            await stage.until(lambda: len(buffer) == 1)
            await socket.receive()
            assert not buffer


async def test_a_frame_that_cannot_be_translated_costs_itself_alone(stage):
    malformed = count(metrics.FRAMES_MALFORMED, "tiny")
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": 1})
        await peer.text("{ no json")
        await peer.send({"crash": 1})
        await peer.socket.send_bytes(b"\xff\xfe" + b"x" * 100_000)
        await peer.socket._writer.send_frame(b"\xff not utf-8", aiohttp.WSMsgType.TEXT)
        await peer.send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1, 2])
        assert len(stage.server.peers) == 1
        assert not peer.closed.is_set()
    letters = stage.bus.dead
    assert [letter.payload for letter in letters[:2]] == [b"{ no json", b'{"crash": 1}']
    assert len(letters[2].payload) == PAYLOAD_KEPT
    assert letters[3].payload == b"\xff not utf-8"
    assert all(letter.handler == "parse" and letter.origin.endswith("/ws") for letter in letters)  # no ?key=secret
    assert len({letter.id for letter in letters}) == 4
    assert "a fault in the translator" in letters[1].reason
    assert count(metrics.FRAMES_MALFORMED, "tiny") - malformed == 4


async def test_binary_frames_are_frames(stage):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.socket.send_bytes(b'{"t": "AAA/USD", "id": 1}')
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1])


async def test_a_frame_that_is_too_big_is_told_and_a_new_connection_goes_on(stage, monkeypatch):
    monkeypatch.setattr(dialler, "LARGEST_FRAME", 10_000)
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": 1})
        await peer.text("x" * 20_000)
        await stage.until(peer.closed.is_set)
        await stage.until(lambda: stage.server.live and stage.server.live[-1].streams, step=0.25)
        await stage.server.live[-1].send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1, 2])
    (letter,) = stage.bus.dead
    assert "too big" in letter.reason


async def test_subscriptions_go_out_in_chunks_at_the_exchanges_pace(stage):
    exchange = Tiny(streams_per_message=2, message_interval=1.0)
    async with stage.running(exchange, stage.server.symbols):
        await stage.until(lambda: stage.server.live and len(stage.server.live[0].received) == 3, step=0.1)
        peer = stage.server.live[0]
        assert [len(message["sub"]) for message in peer.received] == [2, 2, 1]
        assert [message["id"] for message in peer.received] == [1, 2, 3]
        pauses = [later - earlier for earlier, later in itertools.pairwise(peer.arrivals)]
        assert min(pauses) >= 0.85  # an arrival is noticed up to one turn of the clock late


async def test_a_mute_connection_is_closed_and_replaced(stage):
    async with stage.running(Tiny(silence=20.0)):
        peer = await stage.subscribed()
        began = stage.clock.monotonic()
        await stage.until(peer.closed.is_set, step=0.25)
        assert 19 <= stage.clock.monotonic() - began <= 60
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
    assert "no frame for 20 s" in stage.bus.reasons("AAA/USD")


async def test_a_connection_that_never_says_anything_is_noticed_from_its_opening_on(stage):
    async def nothing(*_):
        pass

    stage.server.on_subscribe = nothing
    async with stage.running(Tiny(silence=20.0)):
        await stage.until(lambda: stage.server.peers)
        await stage.until(stage.server.peers[0].closed.is_set, step=0.25)
        assert stage.clock.monotonic() <= 60


async def test_the_exchanges_pings_are_answered_and_are_life(stage):
    async with stage.running(Tiny(silence=20.0)):
        peer = await stage.subscribed()
        for number in range(4):
            await stage.pass_time(15)
            await peer.socket.ping(b"still there?")
            await stage.until(lambda n=number: peer.received.count("PONG") == n + 1)
        assert not peer.closed.is_set()


async def test_pings_that_the_exchange_wants_are_sent_in_time(stage):
    async with stage.running(Tiny(ping_interval=20.0)):
        peer = await stage.subscribed()
        await stage.pass_time(65, step=0.25)
        await stage.until(lambda: peer.received.count("ping") == 3)


async def test_what_a_frame_asks_to_be_sent_is_sent(stage):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.send({"ask": "here I am"})
        await stage.until(lambda: "here I am" in peer.received)


async def test_frames_of_unknown_kind_and_acknowledgements_are_counted_and_not_events(stage):
    unknown, control = count(metrics.FRAMES_UNKNOWN, "tiny"), count(metrics.FRAMES_CONTROL, "tiny")
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.send({"something": "new"})
        await stage.until(lambda: count(metrics.FRAMES_UNKNOWN, "tiny") == unknown + 1)
        await stage.until(lambda: count(metrics.FRAMES_CONTROL, "tiny") == control + 1)
        assert stage.bus.states("AAA/USD") == ["connecting"]  # nothing of that is data


async def test_a_refused_subscription_is_down_with_the_exchanges_reason_alone(stage):
    async def refuse_bbb(peer, message):
        if "trade:BBB/USD" in message["sub"]:
            await peer.send({"err": message["id"], "msg": "BBB is under maintenance"})
        else:
            peer.streams.update(message["sub"])

    stage.server.on_subscribe = refuse_bbb
    async with stage.running(Tiny(streams_per_message=1), ["AAA/USD", "BBB/USD", "CCC/USD"]):
        await stage.until(lambda: "BBB is under maintenance" in stage.bus.reasons("BBB/USD"))
        await stage.server.live[0].send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.states("AAA/USD") == ["connecting", "live"])
        assert stage.bus.states("BBB/USD") == ["connecting", "down"]
        assert stage.bus.states("CCC/USD") == ["connecting"]


async def test_a_refused_message_silences_nobody_but_the_feed_that_it_was_about(stage):
    """Bybit refuses the whole of a message for one of its topics, and does not say which."""

    async def refuse_bbb(peer, message):
        if "trade:BBB/USD" in message["sub"]:
            for _ in range(3):  # OKX says so for each part of a message
                await peer.send({"err": message["id"], "msg": "no such topic"})
        else:
            peer.streams.update(message["sub"])

    stage.server.on_subscribe = refuse_bbb
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD", "CCC/USD"]):
        await stage.until(lambda: "no such topic" in stage.bus.reasons("BBB/USD"))
        (peer,) = stage.server.live
        await stage.until(lambda: peer.streams == {"trade:AAA/USD", "trade:CCC/USD"})
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.states("AAA/USD") == ["connecting", "live"])
        assert stage.bus.states("BBB/USD") == ["connecting", "down"]
        assert stage.bus.states("CCC/USD") == ["connecting"]
        assert len([m for m in peer.received if "sub" in m]) == 4


async def test_one_mute_subscription_among_busy_ones_is_noticed_and_revived_alone(stage):
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"], ["ticker"]):
        peer = await stage.subscribed(2)
        await peer.send({"q": "BBB/USD"})
        while stage.clock.monotonic() < 70:
            await peer.send({"q": "AAA/USD"})
            await stage.pass_time(1.0)
        await stage.until(lambda: len(peer.received) == 3)
        assert [message for message in peer.received if "unsub" in message] == [{"unsub": ["ticker:BBB/USD"], "id": 2}]
        assert peer.received[-1] == {"sub": ["ticker:BBB/USD"], "id": 3}
        assert stage.bus.states("BBB/USD", "ticker") == ["connecting", "live", "stale"]
        await peer.send({"q": "BBB/USD"})
        await stage.until(lambda: stage.bus.states("BBB/USD", "ticker")[-1] == "live")
        assert stage.bus.states("AAA/USD", "ticker") == ["connecting", "live"]
        assert len(stage.server.peers) == 1


async def test_a_dead_timeframe_does_not_hide_behind_a_busy_one(stage):
    exchange = Tiny()
    async with stage.running(exchange, channels=["ticker"]) as collector:
        await stage.subscribed()
        await collector.add(_candles("1m", "5m"))
        peer = await stage.subscribed(3)
        for timeframe in ("1m", "5m"):
            await peer.send({"c": "AAA/USD", "tf": timeframe})
        await stage.until(lambda: len(stage.bus.of(Candle)) == 2)
        while stage.clock.monotonic() < 100:
            await peer.send({"c": "AAA/USD", "tf": "1m"})
            await stage.pass_time(2.0)
        await stage.until(lambda: stage.bus.states("AAA/USD", "candle:5m") == ["connecting", "live", "stale"])
        assert stage.bus.states("AAA/USD", "candle:1m") == ["connecting", "live"]


def _candles(*timeframes):
    return [FeedKey("AAA/USD", "candle", timeframe) for timeframe in timeframes]


async def test_a_bus_without_room_stops_the_reading_and_nothing_is_lost_or_called_silent(stage):
    payload = "x" * 10_000
    sent = 0

    async def blast(peer):
        nonlocal sent
        for number in range(5_000):  # 50 MB
            await peer.text(json.dumps({"t": "AAA/USD", "id": number, "pad": payload}))
            sent += 1

    async with stage.running(Tiny(silence=20.0)):
        peer = await stage.subscribed()
        stage.bus.room.clear()
        blasting = asyncio.create_task(blast(peer))
        stalled, before = 0, -1
        while stalled < 50:
            stalled = stalled + 1 if sent == before else 0
            before = sent
            await asyncio.sleep(0.002)
        assert sent < 4_000  # the sockets' buffers, and no memory of ours beyond them
        await stage.pass_time(60)
        assert not peer.closed.is_set()
        stage.bus.room.set()
        await blasting
        await stage.until(lambda: len(stage.bus.of(Trade)) == 5_000)
        assert stage.bus.ids("AAA/USD") == list(range(5_000))
        assert stage.bus.states("AAA/USD") == ["connecting", "live"]


async def test_cancelling_closes_the_sockets_says_so_and_leaves_no_task(stage):
    async with stage.running(Tiny(feeds_per_connection=1), ["AAA/USD", "BBB/USD"]):
        await stage.until(lambda: len(stage.server.live) == 2)
        peers = list(stage.server.peers)
    async with asyncio.timeout(60):
        for peer in peers:
            await peer.closed.wait()
    assert stage.bus.states("AAA/USD")[-1] == "down"
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert not any("collectors" in name or name.startswith(("Line.", "Connection.", "keep_")) for name in names)


async def test_cancelling_works_while_the_bus_has_no_room(stage):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        stage.bus.room.clear()
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: True)
        asyncio.get_running_loop().call_later(0.05, stage.bus.room.set)
    await asyncio.wait_for(peer.closed.wait(), 60)


@pytest.mark.parametrize("kind", [Ticker])
async def test_a_source_of_events_that_is_no_feed_of_ours_is_published_all_the_same(stage, kind):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.send({"q": "ZZZ/USD"})
        await stage.until(lambda: len(stage.bus.of(kind)) == 1)


async def test_feeds_do_not_count_as_stale_because_the_bus_had_no_room(stage):
    async with stage.running(Tiny(), channels=["ticker"]):
        peer = await stage.subscribed()
        await peer.send({"q": "AAA/USD"})
        await stage.until(lambda: stage.bus.of(Ticker))
        stage.bus.room.clear()
        await peer.send({"q": "AAA/USD"})
        await stage.pass_time(200)
        stage.bus.room.set()
        await stage.pass_time(50)
        assert stage.bus.states("AAA/USD", "ticker") == ["connecting", "live"]
        await stage.until(lambda: stage.bus.states("AAA/USD", "ticker")[-1] == "stale", step=0.5)


async def test_a_broken_feed_is_subscribed_to_anew_alone(stage):
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"]):
        peer = await stage.subscribed(2)
        await peer.send({"t": "AAA/USD", "id": 1})
        await peer.send({"break": "AAA/USD"})
        await stage.until(lambda: {"sub": ["trade:AAA/USD"], "id": 3} in peer.received)
        assert {"unsub": ["trade:AAA/USD"], "id": 2} in peer.received
        await peer.send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.states("AAA/USD") == ["connecting", "live", "down", "live"])
        assert stage.bus.reasons("AAA/USD")[2] == "a hole"
        assert len(stage.server.peers) == 1


async def test_a_feed_that_breaks_again_at_once_waits(stage):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        begun = stage.clock.monotonic()
        for _ in range(5):
            await peer.send({"break": "AAA/USD"})
        await stage.until(lambda: {"sub": ["trade:AAA/USD"], "id": 3} in peer.received)
        await stage.pass_time(20)
        assert len([m for m in peer.received if "sub" in m]) == 2
        await stage.until(lambda: len([m for m in peer.received if "sub" in m]) == 3, step=5)
        assert stage.clock.monotonic() - begun < 45, "well before it would count as stale"


async def test_a_break_that_is_met_after_a_feed_was_subscribed_to_anew_adds_nothing(stage):
    """What was under way before the new subscription does not fit it."""
    async with stage.running(Tiny()) as collector:
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.states("AAA/USD")[-1] == "live")
        for line in collector._lines:
            line.again(FeedKey("AAA/USD", "trade"))
        await peer.send({"break": "AAA/USD"})
        await stage.until(lambda: stage.bus.states("AAA/USD")[-1] == "down")
        await peer.send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.states("AAA/USD")[-1] == "live")
        await stage.pass_time(45)
        assert len([m for m in peer.received if "sub" in m]) == 2
