"""A whole collector: symbols, partition, requests, polls, changes at run time, crashes that stay where they are."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from aiohttp import web

from bus import metrics
from bus.errors import ConfigError, NotAsked, RequestRefused
from bus.events import Book, Feed, OpenInterest
from daemon.collectors.requests import AT_ONCE
from daemon.exchanges.base import FeedKey, Request, Span
from tests.daemon.collectors.helpers import Tiny


def feed_status(collector, symbol):
    return next(feed for feed in collector.status()["feeds"] if feed["symbol"] == symbol)


async def test_an_unknown_symbol_is_down_with_the_nearest_names_and_the_others_go_on(stage):
    async with stage.running(Tiny(), ["AAA/USD", "AAA/USDT"]) as collector:
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1])
        assert stage.bus.states("AAA/USDT") == ["connecting", "down"]
        assert "tiny has no symbol AAA/USDT; nearest: AAA/USD" in stage.bus.reasons("AAA/USDT")
        assert feed_status(collector, "AAA/USDT")["state"] == "down"
        assert peer.received == [{"sub": ["trade:AAA/USD"], "id": 1}]


async def test_a_channel_or_timeframe_that_the_exchange_lacks_says_what_it_has(stage):
    async with stage.running(Tiny()) as collector:
        await stage.subscribed()
        feeds = [FeedKey("AAA/USD", "funding"), FeedKey("AAA/USD", "candle", "7m"), FeedKey("BBB/USD", "trade")]
        refused = await collector.add(feeds)
        assert list(refused) == feeds[:2]
        assert "it has book, candle" in refused[feeds[0]]
        assert "it has 1m, 5m" in refused[feeds[1]]
        await stage.subscribed(2)


async def test_without_a_symbol_list_every_feed_says_why_until_there_is_one(stage):
    stage.server.answers["/symbols"] = [
        web.Response(status=403, text="not from your country"),
        web.Response(text="<html>"),
        web.json_response([]),
    ]
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"]):
        await stage.until(lambda: "not from your country" in "".join(stage.bus.reasons("BBB/USD")))
        assert not stage.server.peers
        await stage.until(lambda: stage.server.live, step=0.25)
        assert stage.server.requests["/symbols"] == 4
        await (await stage.subscribed(2)).send({"t": "BBB/USD", "id": 1})
        await stage.until(lambda: stage.bus.states("BBB/USD")[-1] == "live")
    assert len(stage.bus.dead) == 1


async def test_feeds_are_spread_over_connections_by_the_exchanges_limit(stage):
    async with stage.running(Tiny(feeds_per_connection=2), stage.server.symbols) as collector:
        await stage.until(lambda: sorted(len(peer.streams) for peer in stage.server.live) == [1, 2, 2])
        await collector.add([FeedKey("AAA/USD", "ticker"), FeedKey("BBB/USD", "ticker")])
        await stage.until(lambda: sorted(len(peer.streams) for peer in stage.server.live) == [1, 2, 2, 2])
        assert collector.status()["connections"] == 4


async def test_connections_keep_the_exchanges_connect_quota(stage):
    async with stage.running(Tiny(feeds_per_connection=1, connects_per_minute=2), stage.server.symbols):
        await stage.until(lambda: len(stage.server.peers) == 5, step=1.0)
        assert [peer.opened // 60 for peer in stage.server.peers] == [0, 0, 1, 1, 2]


async def test_feeds_come_and_go_at_run_time_without_touching_the_others(stage):
    exchange = Tiny()
    async with stage.running(exchange, ["AAA/USD", "BBB/USD"]) as collector:
        peer = await stage.subscribed(2)
        await peer.send({"t": "AAA/USD", "id": 1})
        await collector.add([FeedKey("CCC/USD", "trade"), FeedKey("AAA/USD", "trade")])
        await stage.subscribed(3)
        await peer.send({"t": "CCC/USD", "id": 1})
        await stage.until(lambda: stage.bus.states("CCC/USD") == ["connecting", "live"])
        await collector.remove([FeedKey("BBB/USD", "trade")])
        await stage.until(lambda: peer.streams == {"trade:AAA/USD", "trade:CCC/USD"})
        assert stage.bus.states("BBB/USD") == ["connecting", "down"]
        assert stage.bus.states("AAA/USD") == ["connecting", "live"]
        assert peer.received[-1] == {"unsub": ["trade:BBB/USD"], "id": 3}
        await peer.send({"t": "AAA/USD", "id": 2})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1, 2])
        assert len(stage.server.peers) == 1
        assert {feed["symbol"] for feed in collector.status()["feeds"]} == {"AAA/USD", "CCC/USD"}


async def test_a_connection_without_feeds_is_closed_and_a_new_feed_opens_one_again(stage):
    async with stage.running(Tiny()) as collector:
        peer = await stage.subscribed()
        await collector.remove([FeedKey("AAA/USD", "trade")])
        await stage.until(peer.closed.is_set)
        assert collector.status()["connections"] == 0
        await collector.add([FeedKey("AAA/USD", "trade")])
        await (await stage.subscribed()).send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.states("AAA/USD")[-1] == "live")


async def test_feeds_added_before_the_symbols_are_known_are_delivered_too(stage):
    stage.server.answers["/symbols"] = [web.Response(status=403)]
    async with stage.running(Tiny()) as collector:
        await stage.until(lambda: stage.server.requests["/symbols"] == 1)
        await collector.add([FeedKey("BBB/USD", "trade")])
        await stage.until(lambda: stage.server.live and len(stage.server.live[0].streams) == 2, step=0.25)


async def test_a_crash_restarts_its_own_connection_alone(stage):
    exchange = Tiny(feeds_per_connection=1, ping_interval=10.0)
    pings = iter([RuntimeError("a bug"), *["ping"] * 100])

    def ping():
        value = next(pings)
        if isinstance(value, Exception):
            raise value
        return value

    exchange.ping = ping
    restarts = metrics.TASK_RESTARTS.labels("connection:tiny")
    before = restarts._value.get()
    async with stage.running(exchange, ["AAA/USD", "BBB/USD"]):
        await stage.until(lambda: len(stage.server.live) == 2 and all(peer.streams for peer in stage.server.live))
        for peer in stage.server.live:
            (stream,) = peer.streams
            await peer.send({"t": stream.partition(":")[2], "id": 1})
        await stage.until(lambda: any(peer.closed.is_set() for peer in stage.server.peers), step=0.25)
        await stage.until(lambda: len(stage.server.live) == 2 and all(peer.streams for peer in stage.server.live), 0.25)
        assert len(stage.server.peers) == 3
        states = sorted([stage.bus.states("AAA/USD"), stage.bus.states("BBB/USD")], key=len)
        assert states[0] == ["connecting", "live"]
        assert states[1] == ["connecting", "live", "down", "connecting"]
        assert restarts._value.get() == before + 1


async def test_what_the_translator_asks_for_is_fetched_and_published(stage):
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        await peer.send({"need": "AAA/USD"})
        await stage.until(lambda: [book.last_id for book in stage.bus.of(Book)] == [7])


async def test_a_book_that_is_wrong_begins_anew_and_nothing_else_does(stage):
    exchange = Tiny()
    async with stage.running(exchange, ["AAA/USD", "BBB/USD"], ["book"]) as collector:
        peer = await stage.subscribed(2)
        messages = []

        async def heard(_, message):
            messages.append(message)

        stage.server.on_subscribe = heard
        await collector.resync_book("AAA/USD", "it is crossed")
        await stage.until(lambda: messages)
        assert exchange.lost_feeds == [FeedKey("AAA/USD", "book")]
        assert [message["sub"] for message in messages] == [["book:AAA/USD"]]
        assert stage.bus.states("AAA/USD", "book")[-1] == "down"
        assert "crossed" in stage.bus.reasons("AAA/USD", "book")[-1]
        await collector.resync_book("AAA/USD", "it begins anew already")
        await collector.resync_book("CCC/USD", "nobody collects it")
        assert len(exchange.lost_feeds) == 1
        assert not peer.closed.is_set()


async def test_feeds_that_are_added_together_are_subscribed_to_together(stage):
    async with stage.running(Tiny(), ["AAA/USD"]) as collector:
        peer = await stage.subscribed(1)
        await collector.add([FeedKey(symbol, "trade") for symbol in ("BBB/USD", "CCC/USD", "DDD/USD")])
        await stage.until(lambda: len(peer.received) == 2, step=0.25)
        assert peer.received[1]["sub"] == ["trade:BBB/USD", "trade:CCC/USD", "trade:DDD/USD"]
        assert len(stage.server.peers) == 1


async def test_feeds_that_break_together_are_subscribed_to_anew_together(stage):
    symbols = ["AAA/USD", "BBB/USD", "CCC/USD"]
    async with stage.running(Tiny(), symbols):
        peer = await stage.subscribed(3)
        await peer.send({"break": symbols})
        await stage.until(lambda: len(peer.received) >= 3, step=0.25)
        streams = [f"trade:{symbol}" for symbol in symbols]
        assert [message.get("unsub") or message["sub"] for message in peer.received] == [streams] * 3


async def test_a_book_that_stays_wrong_begins_anew_ever_more_rarely(stage):
    exchange, times = Tiny(), []
    async with stage.running(exchange, ["AAA/USD"], ["book"]) as collector:
        peer = await stage.subscribed()
        began = stage.clock.monotonic()
        while stage.clock.monotonic() - began < 230:
            await peer.send({"need": "AAA/USD"})
            await stage.until(lambda: feed_status(collector, "AAA/USD")["state"] == "live")
            await collector.resync_book("AAA/USD", "it is crossed")
            if len(exchange.lost_feeds) > len(times):
                times.append(stage.clock.monotonic() - began)
            await stage.pass_time(1)
    assert [round(later - earlier, -1) for earlier, later in pairwise(times)] == [30, 60, 120]
    assert "it went wrong again" in "".join(stage.bus.reasons("AAA/USD", "book"))


async def test_a_request_that_fails_is_told_and_repeated_with_growing_pauses(stage):
    exchange = Tiny()
    stage.server.answers["/snap"] = [web.Response(status=404), web.Response(text="<html>"), web.Response(status=404)]
    times = []

    async def in_the_end(_):
        times.append(stage.clock.monotonic())
        return web.json_response({"id": 9})

    stage.server.answers["/snap"].append(in_the_end)
    async with stage.running(exchange):
        peer = await stage.subscribed()
        began = stage.clock.monotonic()
        await peer.send({"need": "AAA/USD"})
        await stage.until(lambda: stage.bus.of(Book), step=0.1)
        assert len(exchange.failed_requests) == 3
        assert times[0] - began >= 7 - 1e-6  # 1, 2 and 4 s
    assert [letter.payload for letter in stage.bus.dead] == [b"<html>"]


async def test_a_slow_request_does_not_hold_up_the_others(stage):
    async def never(_):
        await asyncio.sleep(60)

    stage.server.answers["/snap"] = [never]
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        for symbol in stage.server.symbols:
            await peer.send({"need": symbol})
        await stage.until(lambda: len(stage.bus.of(Book)) == 4)


async def test_what_is_not_streamed_is_polled(stage):
    exchange = Tiny()
    async with stage.running(exchange, channels=["open_interest"]) as collector:
        await stage.until(lambda: len(stage.bus.of(OpenInterest)) == 1)
        await stage.until(lambda: len(stage.bus.of(OpenInterest)) == 3, step=0.5)
        assert 60 <= stage.clock.monotonic() <= 120
        assert stage.bus.states("AAA/USD", "open_interest") == ["connecting", "live"]
        assert not stage.server.peers
        stage.server.answers["/oi"] = [web.Response(status=404, text="gone"), web.Response(text="<html>")]
        await stage.until(lambda: stage.bus.states("AAA/USD", "open_interest")[-1] == "down", step=0.5)
        assert "gone" in stage.bus.reasons("AAA/USD", "open_interest")[-1]
        assert [request.kind for request in exchange.failed_requests] == ["open_interest"]
        await stage.until(lambda: stage.bus.states("AAA/USD", "open_interest")[-1] == "live", step=0.5)
        assert len(stage.bus.dead) == 1
        await collector.remove([FeedKey("AAA/USD", "open_interest")])
        asked = stage.server.requests["/oi"]
        await stage.pass_time(100, step=5)
        assert stage.server.requests["/oi"] == asked


async def test_duplicates_and_resyncs_that_the_translator_counts_become_metrics(stage):
    duplicates = metrics.DUPLICATES.labels("tiny", "trade")
    before, resyncs = duplicates._value.get(), metrics.RESYNCS.labels("tiny")._value.get()
    exchange = Tiny()
    async with stage.running(exchange):
        peer = await stage.subscribed()
        for number in (1, 1, 1, 2):
            await peer.send({"t": "AAA/USD", "id": number})
        exchange.resyncs = 3
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1, 2])
        assert duplicates._value.get() - before == 2
        await stage.until(lambda: metrics.RESYNCS.labels("tiny")._value.get() - resyncs == 3)


async def test_status_and_the_live_metric_tell_the_states(stage):
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"]) as collector:
        peer = await stage.subscribed(2)
        await peer.send({"t": "AAA/USD", "id": 1})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [1])
        stage.clock.advance(3)
        status = collector.status()
        assert status["breakers"] == {"ws": "closed", "rest": "closed"}
        assert status["connections"] == 1
        assert feed_status(collector, "AAA/USD") == {
            "symbol": "AAA/USD", "channel": "trade", "timeframe": "", "state": "live", "age": 3.0, "reason": "",
        }  # fmt: skip
        assert feed_status(collector, "BBB/USD")["age"] is None
        assert metrics.FEEDS_LIVE.labels("tiny")._value.get() == 1
    assert metrics.FEEDS_LIVE.labels("tiny")._value.get() == 0


async def test_running_again_after_the_end_delivers_again(stage):
    collector = stage.collector(Tiny())
    for number in (1, 2):
        task = asyncio.create_task(collector.run())
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": number})
        await stage.until(lambda n=number: stage.bus.ids("AAA/USD")[-1:] == [n], step=0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.until(peer.closed.is_set)
    assert stage.bus.states("AAA/USD") == ["connecting", "live", "down"] * 2
    assert stage.bus.of(Feed)[-1].reason == "stopped"


async def test_only_a_few_requests_are_under_way_at_once(stage):
    under_way = asyncio.Semaphore(0)

    async def hold(_):
        await under_way.acquire()
        return web.json_response({"id": 1})

    stage.server.answers["/snap"] = [hold for _ in range(5)]
    async with stage.running(Tiny()):
        peer = await stage.subscribed()
        for symbol in stage.server.symbols:
            await peer.send({"need": symbol})
        await stage.until(lambda: stage.server.requests["/snap"] == AT_ONCE)
        await stage.pass_time(5)
        assert stage.server.requests["/snap"] == AT_ONCE
        for _ in range(5):
            under_way.release()
        await stage.until(lambda: len(stage.bus.of(Book)) == 5)


async def test_the_interval_of_polls_can_be_changed_while_it_waits(stage):
    async with stage.running(Tiny(silence=1e9), channels=["open_interest"]) as collector:
        await stage.until(lambda: stage.bus.of(OpenInterest))
        collector.settings = replace(collector.settings, interval=100.0)
        await stage.pass_time(90)
        assert len(stage.bus.of(OpenInterest)) == 1
        collector.settings = replace(collector.settings, interval=10.0)
        await stage.pass_time(25)
        assert len(stage.bus.of(OpenInterest)) >= 3


class Bars(Tiny):
    """Candles have to be polled here."""

    polled = frozenset({"candle"})

    def polls(self, feed):
        return Request("bars", "/oi", {"symbol": feed.symbol}, 1, feed.symbol)


async def test_polled_candles_are_asked_for_after_their_close_too(stage):
    async with stage.running(Bars(silence=1e9), channels=["candle"]) as collector:
        collector.settings = replace(collector.settings, interval=10_000.0)
        await stage.until(lambda: stage.server.requests["/oi"] == 1)
        await stage.pass_time(240)
        assert stage.server.requests["/oi"] == 5


async def test_history_waits_for_the_symbol_list_and_is_refused_for_what_is_listed_no_more(stage):
    exchange, feed, span = Tiny(), FeedKey("OLD/USD", "trade"), Span(1, 2)

    def unknown(*_):
        raise ConfigError("tiny has no symbol 'OLD/USD'")

    exchange.history = unknown
    with pytest.raises(NotAsked, match="symbol list"):
        await anext(stage.collector(exchange).history(feed, span))
    async with stage.running(exchange) as collector:
        await stage.subscribed()
        with pytest.raises(RequestRefused, match="OLD/USD"):
            await anext(collector.history(feed, span))
