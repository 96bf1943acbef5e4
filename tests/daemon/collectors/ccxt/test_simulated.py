"""ccxt's Binance class against the simulated exchange: every channel, exact digits, symbols that come and go."""

import json
from decimal import Decimal

import aiohttp
import pytest

from bus.clock import SECOND, SystemClock
from bus.errors import RequestRefused
from bus.events import Book, Candle, Feed, Ticker, Trade
from daemon.exchanges.base import FeedKey, Span
from tests.daemon.collectors.ccxt.helpers import EACH, SPOT, running, until

BTC = FeedKey("BTC/USDT", "trade")


async def get(url: str):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return json.loads(await answer.text())


def rebuilt(events: list[Book]) -> tuple[dict[str, str], dict[str, str]]:
    """The sides of the book that a subscriber keeps."""
    sides: tuple[dict[str, str], dict[str, str]] = {}, {}
    for event in events:
        for side, changes in zip(sides, (event.bids, event.asks), strict=True):
            if event.kind == "snapshot":
                side.clear()
            for price, amount in changes:
                if Decimal(amount):
                    side[price] = amount
                else:
                    side.pop(price, None)
    return sides


async def test_every_channel_is_delivered_and_trades_are_complete_to_the_digit(simulator):
    async with running(simulator) as (collector, bus):
        await until(lambda: all(bus.of(kind) for kind in (Trade, Ticker, Book, Candle)))
        assert {feed["state"] for feed in collector.status()["feeds"]} == {"live"}
        await until(lambda: len(bus.of(Trade)) > 50)
        trades = bus.of(Trade)
        truth = await get(f"{simulator.url}/control/log?symbol=BTCUSDT&from_id={trades[0].id}")
        told = [[int(t.id), t.price, t.amount, t.ts // 1_000_000, t.side == "sell"] for t in trades]
        assert told == truth[: len(told)]
        assert not bus.dead


async def test_a_subscriber_has_the_book_of_the_exchange(simulator):
    async with running(simulator, channels=("book",)) as (_, bus):
        await until(lambda: len(bus.of(Book)) > 20)
        simulator.exchange.paused = True
        snapshot = await get(f"{simulator.url}/api/v3/depth?symbol=BTCUSDT&limit=5000")
        await until(lambda: bus.of(Book)[-1].last_id == snapshot["lastUpdateId"])
        kinds = [event.kind for event in bus.of(Book)]
        assert kinds == ["snapshot"] + ["delta"] * (len(kinds) - 1)
        bids, asks = rebuilt(bus.of(Book))
        lowest = min(map(Decimal, bids))
        assert bids == {p: a for p, a in snapshot["bids"] if Decimal(p) >= lowest}
        highest = max(map(Decimal, asks))
        assert asks == {p: a for p, a in snapshot["asks"] if Decimal(p) <= highest}


async def test_instruments_have_their_steps_and_limits(simulator):
    async with running(simulator, channels=("trade",)) as (collector, _):
        await until(lambda: collector.loaded)
        one = collector.listing.instruments["BTC/USDT"]
        assert (one.exchange, one.native, one.kind, one.active) == ("binance", "BTCUSDT", "spot", True)
        assert all(Decimal(step) > 0 for step in (one.tick_size, one.lot_size, one.min_notional))


async def test_unknown_feeds_are_refused_with_the_nearest_and_the_others_run(simulator):
    async with running(simulator, symbols=("BTC/USDT", "BTC/USTD"), channels=("trade",)) as (collector, bus):
        await until(lambda: "live" in bus.states("BTC/USDT"))
        assert bus.states("BTC/USTD")[-1] == "down"
        assert "nearest: BTC/USDT" in bus.reasons("BTC/USTD")[-1]
        refused = await collector.add([FeedKey("BTC/USDT", "funding"), FeedKey("BTC/USDT", "candle", "7m")])
        assert len(refused) == 2
        assert "no 7m candles" in str(refused)
        assert "not a derivative" in str(refused)


async def test_symbols_are_added_and_removed_without_touching_the_others(simulator):
    async with running(simulator, channels=("trade",)) as (collector, bus):
        await until(lambda: "live" in bus.states("BTC/USDT"))
        eth = FeedKey("ETH/USDT", "trade")
        assert await collector.add([eth], "asked for by the test") == {}
        await until(lambda: "live" in bus.states("ETH/USDT"))
        assert "asked for by the test" in bus.reasons("ETH/USDT")
        await collector.remove([eth])
        count = len(bus.ids("ETH/USDT"))
        before = len(bus.ids("BTC/USDT"))
        await until(lambda: len(bus.ids("BTC/USDT")) > before + 20)
        assert len(bus.ids("ETH/USDT")) == count
        assert collector.feeds == [BTC]
        ids = bus.ids("BTC/USDT")
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert bus.states("BTC/USDT") == ["connecting", "live"]


async def test_a_book_begins_anew_alone(simulator):
    async with running(simulator, channels=("book", "trade")) as (collector, bus):
        await until(lambda: "live" in bus.states("BTC/USDT", "book") and "live" in bus.states("BTC/USDT"))
        await collector.resync_book("BTC/USDT", "it is crossed")
        await until(lambda: [book.kind for book in bus.of(Book)].count("snapshot") == 2)
        assert "it is crossed" in bus.reasons("BTC/USDT", "book")
        assert bus.states("BTC/USDT") == ["connecting", "live"]


async def test_history_has_what_was_streamed_and_is_published_once(simulator):
    async with running(simulator, channels=("trade",), options=SPOT) as (collector, bus):
        await until(lambda: len(bus.of(Trade)) > 20)
        now = SystemClock().now()
        pages = [page async for page in collector.history(BTC, Span(now - 60 * SECOND, now))]
        got = {int(trade.id): trade for page in pages for trade in page}
        assert {trade.source for trade in got.values()} == {"backfill"}
        assert sorted(got) == list(range(min(got), max(got) + 1))
        streamed = {int(trade.id): trade for trade in bus.of(Trade) if trade.ts <= max(one.ts for one in got.values())}
        assert min(got) < min(streamed)
        for number in streamed.keys() & got.keys():
            one, other = streamed[number], got[number]
            assert (one.ts, one.price, one.amount, one.side) == (other.ts, other.price, other.amount, other.side)
        assert not any(collector.fresh(got[number]) for number in streamed.keys() & got.keys())
        assert collector.fresh(got[min(got)])


async def test_history_with_other_ids_than_the_stream_is_refused_rather_than_published_twice(simulator):
    async with running(simulator, channels=("trade",), options=EACH) as (collector, bus):
        await until(lambda: len(bus.of(Trade)) > 50)
        now = SystemClock().now()
        with pytest.raises(RequestRefused, match="other trade ids"):
            [page async for page in collector.history(BTC, Span(now - 60 * SECOND, now))]


async def test_candles_out_of_history_are_closed_but_for_the_last(scripted):
    async with running(scripted, channels=("ticker",)) as (collector, _):
        await until(lambda: collector.loaded)
        now = SystemClock().now()
        bars = FeedKey("BTC/USDT", "candle", "1m")
        candles = [row async for page in collector.history(bars, Span(now - 600 * SECOND, now)) for row in page]
        assert len(candles) >= 10
        closed = [row.closed for row in candles]
        assert closed == sorted(closed, reverse=True)
        assert closed.count(False) <= 2  # a minute may end between our look at the clock and the answer
        assert candles[0].close == "1.50"


async def test_candles_are_asked_for_at_their_closes(scripted):
    async with running(scripted, channels=("candle",), at_close=("1m",)) as (collector, bus):
        await until(lambda: bus.of(Candle))
        assert {(candle.source, candle.closed) for candle in bus.of(Candle)} == {("rest", True)}
        assert collector.status()["connections"] == 0


async def test_volumes_of_all_symbols_are_told_for_the_rules_that_choose_them(simulator):
    async with running(simulator, channels=("ticker",)) as (collector, bus):
        await until(lambda: bus.of(Ticker))
        found = await collector.volumes()
        assert set(found) == set(collector.listing.instruments)
        assert all(volume > 0 for volume in found.values())


async def test_a_collector_that_stops_says_so(simulator):
    async with running(simulator, channels=("trade",)) as (_, bus):
        await until(lambda: "live" in bus.states("BTC/USDT"))
    assert bus.of(Feed)[-1].reason == "stopped"
