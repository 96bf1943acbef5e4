"""Reconnecting with growing pauses, and handing over from one connection to the next without a hole."""

import asyncio

import pytest
from aiohttp import web

from bus.events import Breaker, Trade
from daemon.collectors.connection import LAST_WORDS
from tests.daemon.collectors.helpers import Tiny


def pauses_after(dropped, server):
    """From each drop to the next opening: a slow machine can make that longer, but never shorter than the back-off."""
    return [peer.opened - drop for drop, peer in zip(dropped, server.peers[1:], strict=False)]


async def test_accepting_and_dropping_makes_the_pauses_grow_and_opens_the_breaker(stage):
    async def drop(peer, message):
        await peer.send({"ok": message["id"]})
        dropped.append(stage.clock.monotonic())
        await peer.socket.close()

    dropped = []
    stage.server.on_subscribe = drop
    async with stage.running(Tiny()):
        await stage.until(lambda: len(stage.server.peers) == 6, step=0.1)
        pauses = pauses_after(dropped, stage.server)
        for pause, bound in zip(pauses, [1, 2, 4, 8, 16], strict=True):
            assert pause >= bound - 1e-6
    breakers = [event for event in stage.bus.of(Breaker) if event.kind == "ws"]
    assert [event.state for event in breakers][:2] == ["open", "half_open"]
    assert stage.bus.states("AAA/USD")[:4] == ["connecting", "down", "connecting", "down"]


async def test_a_clean_close_after_data_is_followed_by_a_short_pause_each_time(stage):
    async def one_trade(peer, message):
        await peer.send({"t": "AAA/USD", "id": len(stage.server.peers)})
        dropped.append(stage.clock.monotonic())
        await peer.socket.close()

    dropped = []
    stage.server.on_subscribe = one_trade
    async with stage.running(Tiny()):
        await stage.until(lambda: len(stage.server.peers) == 8, step=0.05)
        pauses = pauses_after(dropped, stage.server)
        assert min(pauses) >= 1 - 1e-6
        assert sum(pauses) < 64  # the seventh alone would be that long if data did not count
        assert not [event for event in stage.bus.of(Breaker) if event.kind == "ws"]  # it delivers, after all


async def test_a_lost_connection_is_told_with_its_reason_and_to_the_translator(stage):
    exchange = Tiny()
    async with stage.running(exchange, ["AAA/USD", "BBB/USD"]):
        peer = await stage.subscribed(2)
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1])
        await peer.socket.close(code=1001)
        await stage.until(lambda: stage.bus.states("AAA/USD") == ["connecting", "live", "down"])
        assert stage.bus.reasons("AAA/USD")[-1] == "closed by the exchange with code 1001"
        assert {feed.symbol for feed in exchange.lost_feeds} == {"AAA/USD", "BBB/USD"}
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.1)
        await (await stage.subscribed(2)).send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.states("AAA/USD")[-2:] == ["connecting", "live"])


async def test_a_server_that_is_not_there_is_tried_again_and_told_once(stage):
    exchange = Tiny()
    async with stage.running(exchange) as collector:
        await stage.subscribed()
        line = next(iter(collector._lines))
        good, line.url = line.url, "ws://127.0.0.1:1/ws?key=secret"
        await stage.server.live[0].socket.close()
        await stage.until(lambda: "cannot connect" in "".join(stage.bus.reasons("AAA/USD")), step=0.1)
        said = len(stage.bus.states("AAA/USD"))
        await stage.pass_time(5)
        assert len(stage.bus.states("AAA/USD")) == said
        assert "secret" not in "".join(stage.bus.reasons("AAA/USD"))
        line.url = good
        await stage.until(lambda: stage.server.live, step=0.25)


async def feed_trades(stage, stop: asyncio.Event) -> int:
    """The market goes on: each trade to every connection that has subscribed."""
    number = 0
    while not stop.is_set():
        await stage.server.broadcast({"t": "AAA/USD", "id": number}, "trade:AAA/USD")
        number += 1
        await asyncio.sleep(0.0005)
    return number


@pytest.mark.parametrize("cause", ["lifetime", "notice"])
async def test_a_planned_change_overlaps_loses_nothing_and_doubles_nothing(stage, cause):
    exchange = Tiny(lifetime=100.0 if cause == "lifetime" else 86_400.0)
    stop = asyncio.Event()
    async with stage.running(exchange):
        first = await stage.subscribed()
        market = asyncio.create_task(feed_trades(stage, stop))
        await stage.until(lambda: len(stage.bus.of(Trade)) > 20)
        if cause == "notice":
            await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        await stage.until(first.closed.is_set, step=0.25)
        second = stage.server.live[-1]
        seen = len(stage.bus.of(Trade))
        await stage.until(lambda: len(stage.bus.of(Trade)) > seen + 20)
        stop.set()
        total = await market
        await stage.until(lambda: len(stage.bus.of(Trade)) == total)
        assert stage.server.live == [second]
        assert stage.bus.ids("AAA/USD") == list(range(total))
        assert stage.bus.states("AAA/USD") == ["connecting", "live"]
        assert exchange.lost_feeds == []
        assert not stage.bus.of(Breaker)


async def test_a_planned_change_loses_nothing_while_the_bus_has_no_room(stage):
    exchange = Tiny()
    stop = asyncio.Event()
    async with stage.running(exchange):
        first = await stage.subscribed()
        market = asyncio.create_task(feed_trades(stage, stop))
        await stage.until(lambda: len(stage.bus.of(Trade)) > 20)
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        stage.bus.room.clear()
        await stage.pass_time(30)
        stage.bus.room.set()
        await stage.until(first.closed.is_set, step=0.02)
        stop.set()
        total = await market
        await stage.until(lambda: len(stage.bus.of(Trade)) == total)
        assert stage.bus.ids("AAA/USD") == list(range(total))


@pytest.mark.parametrize("held", [1, LAST_WORDS + 5])
async def test_what_the_old_connection_has_sent_is_read_before_it_is_closed(stage, held):
    async with stage.running(Tiny()):
        first = await stage.subscribed()
        await first.send({"t": "AAA/USD", "id": 0})
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        second = await stage.subscribed(peers=2)
        stage.bus.room.clear()
        for number in range(1, 2_000):  # more than is read in one go
            await first.send({"t": "AAA/USD", "id": number})
        for peer in (first, second):
            await peer.send({"t": "AAA/USD", "id": 2_000})
        await stage.pass_time(held)
        stage.bus.room.set()
        await stage.until(first.closed.is_set)
        assert sorted(stage.bus.ids("AAA/USD")) == list(range(2_001))


async def test_an_old_connection_that_does_not_answer_is_closed_all_the_same(stage):
    stage.server.answers_pings = False
    async with stage.running(Tiny(silence=3_600.0)):
        first = await stage.subscribed()
        await first.send({"t": "AAA/USD", "id": 0})
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        second = await stage.subscribed(peers=2)
        stage.bus.room.clear()
        await second.send({"t": "AAA/USD", "id": 1})
        await first.send({"t": "AAA/USD", "id": 1})
        await stage.pass_time(1)
        stage.bus.room.set()
        began = stage.clock.monotonic()
        await stage.until(first.closed.is_set, step=0.25)
        assert stage.clock.monotonic() - began < LAST_WORDS + 5
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [0, 1])


async def test_the_old_connection_stays_while_the_next_one_says_nothing(stage):
    async with stage.running(Tiny(silence=30.0)):
        first = await stage.subscribed()
        await first.send({"t": "AAA/USD", "id": 1})
        stage.server.on_subscribe = lambda *_: asyncio.sleep(0)  # from now on nobody is served
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        for number in range(2, 30):
            await first.send({"t": "AAA/USD", "id": number})
            await stage.pass_time(5)
        await stage.until(lambda: stage.bus.ids("AAA/USD") == list(range(1, 30)))
        assert not first.closed.is_set()
        assert len(stage.server.peers) > 2  # and it keeps trying
        assert stage.bus.states("AAA/USD") == ["connecting", "live"]


async def test_an_old_connection_that_ends_before_the_next_one_delivers_is_a_loss(stage):
    exchange = Tiny()
    async with stage.running(exchange):
        first = await stage.subscribed()
        await first.send({"t": "AAA/USD", "id": 1})
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        await first.socket.close()
        await stage.until(lambda: stage.bus.states("AAA/USD") == ["connecting", "live", "down"])
        assert [feed.symbol for feed in exchange.lost_feeds] == ["AAA/USD"]
        second = await stage.subscribed()
        await second.send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.states("AAA/USD")[-1] == "live")
        assert len(stage.server.peers) == 2


async def test_feeds_that_have_nothing_to_say_do_not_hold_up_a_change_for_ever(stage):
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"]):
        first = await stage.subscribed(2)
        await first.send({"t": "BBB/USD", "id": 1})
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        second = await stage.subscribed(2, peers=2)
        await second.send({"t": "AAA/USD", "id": 1})
        await stage.until(first.closed.is_set, step=0.25)
        assert stage.bus.states("BBB/USD") == ["connecting", "live"]


async def test_a_change_waits_until_every_subscription_has_been_sent(stage):
    exchange = Tiny(streams_per_message=1, message_interval=40.0)
    async with stage.running(exchange, ["AAA/USD", "BBB/USD"]):
        await stage.until(lambda: stage.server.live and len(stage.server.live[0].streams) == 2, step=0.5)
        first = stage.server.live[0]
        await first.send({"bye": 1})
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        second = await stage.subscribed(1, peers=2)
        await second.send({"t": "AAA/USD", "id": 1})
        await stage.pass_time(30)
        assert not first.closed.is_set()  # BBB/USD is not subscribed to on the second one yet
        await stage.until(first.closed.is_set, step=0.5)
        assert len(second.streams) == 2


async def test_a_handshake_that_asks_us_to_slow_down_is_obeyed(stage):
    stage.server.refuse = web.Response(status=429, headers={"Retry-After": "50"})
    async with stage.running(Tiny()):
        await stage.until(lambda: stage.server.requests["/ws"] == 1)
        stage.server.refuse = None
        await stage.pass_time(48)
        assert stage.server.requests["/ws"] == 1
        await stage.until(lambda: stage.server.live, step=0.25)
        assert stage.clock.monotonic() >= 50


async def test_an_operator_can_keep_connections_closed_and_let_them_open_again(stage):
    async with stage.running(Tiny(connects_per_minute=3)) as collector:
        peer = await stage.subscribed()
        collector.breakers["ws"].force_open("maintenance")
        await peer.socket.close()
        await stage.pass_time(100)
        assert len(stage.server.peers) == 1
        collector.breakers["ws"].reset("done")
        began = stage.clock.monotonic()
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.25)
        assert stage.clock.monotonic() - began < 40  # waiting has used up no quota
        await stage.until(lambda: [event.state for event in stage.bus.of(Breaker)] == ["forced_open", "closed"])


async def test_a_429_of_rest_does_not_hold_up_connecting(stage):
    async with stage.running(Tiny()) as collector:
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1])
        collector._gate.weight.pause(600)
        cut = stage.clock.monotonic()
        await peer.socket.close()
        await stage.until(lambda: len(stage.server.peers) == 2, step=0.05)
        assert stage.server.peers[1].opened - cut < 60
