"""What streams must bear: bursts, lost connections, refusals, messages that nobody can read."""

import asyncio
import gc
import json

import pytest

from bus import metrics
from bus.errors import ExchangeUnavailable
from bus.events import Book, Breaker, Feed, Trade
from daemon.exchanges.base import FeedKey, Span
from tests.daemon.collectors.ccxt.helpers import DEPTH, FOUR, TRADES, Hasty, depth, running, trade, until

BURST = 20_000
QUIET = 0.3
"""Seconds without a change after which something has come to rest."""


def received(exchange: str) -> float:
    return metrics.FRAMES_RECEIVED.labels(exchange, "ws")._value.get()


async def settled(value) -> float:
    """Return a value once it has stopped to change."""
    before = None
    while (now := value()) != before:
        before = now
        await asyncio.sleep(QUIET)
    return now


async def test_nothing_is_lost_in_a_burst_and_no_more_is_read_than_the_bus_takes(scripted):
    async with running(scripted, channels=("trade", "book")) as (_, bus):
        await until(lambda: {TRADES, DEPTH} <= set(scripted.carriers))
        await scripted.send(DEPTH, depth(101, 101, [["50000.00", "1"]]))
        await until(lambda: bus.of(Book))
        trades = [trade(number, amount=f"0.{number:05}1") for number in range(BURST)]
        changes = [depth(102 + n, 102 + n, [[f"{40_000 + n % 900}.50", f"0.{n:05}1"]]) for n in range(BURST // 2)]
        before = received("binance")
        bus.room.clear()
        sending = asyncio.gather(scripted.send(TRADES, *trades), scripted.send(DEPTH, *changes))
        read = await settled(lambda: received("binance")) - before
        assert read < BURST / 2
        bus.room.set()
        await sending
        await until(lambda: len(bus.of(Trade)) == BURST and bus.of(Book)[-1].last_id == 101 + BURST // 2)
        assert [(event.id, event.amount) for event in bus.of(Trade)] == [
            (str(number), f"0.{number:05}1") for number in range(BURST)
        ]
        deltas = [event for event in bus.of(Book) if event.last_id > 101]
        assert {event.kind for event in deltas} == {"delta"}
        assert [event.last_id for event in deltas] == [change["u"] for change in changes]
        assert [[list(level) for level in event.bids] for event in deltas] == [change["b"] for change in changes]
        assert not bus.dead


async def test_a_lost_connection_is_told_and_what_the_exchange_repeats_is_dropped(scripted):
    async with running(scripted, channels=("trade", "book")) as (_, bus):
        await until(lambda: {TRADES, DEPTH} <= set(scripted.carriers))
        await scripted.send(DEPTH, depth(101, 101, [["50000.00", "1"]]))
        await scripted.send(TRADES, trade(1), trade(2))
        await until(lambda: len(bus.of(Trade)) == 2 and bus.of(Book))
        for socket in {scripted.carriers.pop(TRADES), scripted.carriers.pop(DEPTH)}:
            await socket.close()
        await until(lambda: {TRADES, DEPTH} <= set(scripted.carriers))
        await scripted.send(DEPTH, depth(101, 105, [["50000.00", "2"]]))
        await scripted.send(TRADES, trade(2), trade(3))
        await until(lambda: len(bus.of(Trade)) == 3 and bus.of(Book)[-1].last_id == 105)
        assert bus.ids("BTC/USDT") == [1, 2, 3]
        for channel in ("trade", "book"):
            assert bus.states("BTC/USDT", channel) == ["connecting", "live", "down", "connecting", "live"]
        kinds = [
            event.kind if isinstance(event, Book) else event.state
            for event in bus.events
            if isinstance(event, Book) or (isinstance(event, Feed) and event.channel == "book")
        ]
        assert kinds[kinds.index("down") :][:4] == ["down", "connecting", "live", "snapshot"]


async def test_a_message_that_nobody_can_read_costs_itself_alone(scripted):
    async with running(scripted, channels=("trade",)) as (_, bus):
        await until(lambda: scripted.carriers)
        await scripted.send(
            TRADES, trade(1), "{no json", trade(2, price="-1"), {"e": "trade", "s": "BTCUSDT"}, trade(3)
        )
        await until(lambda: len(bus.of(Trade)) == 2)
        assert bus.ids("BTC/USDT") == [1, 3]
        assert [bytes(dead.payload)[:9] for dead in bus.dead] == [b"{no json", b'{"e": "tr', b'{"e": "tr']
        assert json.loads(bus.dead[1].payload)["p"] == "-1"
        assert bus.states("BTC/USDT") == ["connecting", "live"]


async def test_a_refused_connection_counts_against_the_exchange_and_a_ban_ends_all_requests(scripted):
    scripted.refuse = 418
    async with running(scripted, channels=("trade",)) as (collector, bus):
        await until(lambda: {one.state for one in collector.breakers.values()} == {"open"})
        await until(lambda: {event.kind for event in bus.of(Breaker)} == {"ws", "rest"})
        assert collector.status()["banned_until"] is not None
        asked = len(scripted.requests)
        with pytest.raises(ExchangeUnavailable, match="no spare room for 900"):
            await anext(collector.history(FeedKey("BTC/USDT", "trade"), Span(0, 1)))
        assert len(scripted.requests) == asked


async def test_a_breaker_that_an_operator_opens_ends_the_connections_until_it_is_reset(scripted):
    async with running(scripted, channels=("trade",)) as (collector, bus):
        await until(lambda: scripted.carriers)
        await scripted.send(TRADES, trade(1))
        await until(lambda: bus.of(Trade))
        socket = scripted.carriers.pop(TRADES)
        collector.breakers["ws"].force_open("the test")
        await until(lambda: socket.closed and collector.status()["connections"] == 0)
        assert "opened by an operator" in bus.reasons("BTC/USDT")[-1]
        collector.breakers["ws"].reset("the test")
        await until(lambda: TRADES in scripted.carriers)
        await scripted.send(TRADES, trade(1), trade(2))
        await until(lambda: bus.ids("BTC/USDT") == [1, 2])


async def test_a_connection_ends_with_the_last_feed_on_it_and_not_before(scripted):
    feeds = [FeedKey("BTC/USDT", "trade"), FeedKey("ETH/USDT", "trade")]
    async with running(scripted, symbols=("BTC/USDT", "ETH/USDT"), channels=("trade",)) as (collector, bus):
        await until(lambda: {TRADES, "ethusdt@trade"} <= set(scripted.carriers))
        sockets = set(scripted.carriers.values())
        for feed in feeds:
            await collector.remove([feed])
        await until(lambda: all(socket.closed for socket in sockets))
        assert collector.status()["connections"] == 0
        assert {"unsubscribe btcusdt@trade", "unsubscribe ethusdt@trade"} <= set(scripted.subscribed)
        assert collector.feeds == []
        assert bus.reasons("BTC/USDT")[-1] == "not wanted any more"


async def test_a_connection_that_is_given_up_while_it_opens_is_closed_when_it_is_there(scripted):
    scripted.open.clear()
    async with running(scripted, channels=("trade",)) as (collector, bus):
        await until(lambda: scripted.waiting)
        await collector.remove([FeedKey("BTC/USDT", "trade")])
        scripted.open.set()
        await until(lambda: not scripted.waiting and not scripted.connected)
        assert collector.status()["connections"] == 0
        assert {one.state for one in collector.breakers.values()} == {"closed"}
        assert not bus.of(Trade)


async def test_a_collector_that_stops_while_it_waits_for_the_breaker_leaves_nothing_behind(scripted):
    before = asyncio.all_tasks()
    async with running(scripted, channels=("trade",)) as (collector, _):
        await until(lambda: scripted.carriers)
        collector.breakers["ws"].force_open("the test")
        await until(lambda: collector.status()["connections"] == 0)
    await until(lambda: not scripted.connected)
    async with running(scripted, channels=FOUR) as (collector, _):
        await until(lambda: collector.loaded)
        collector.breakers["ws"].force_open("the test")
    await until(lambda: {task for task in asyncio.all_tasks() - before if "ccxt" in repr(task)} == set(), within=5)


async def test_a_failing_exchange_opens_its_breaker_and_streams_again_when_it_is_back(scripted):
    scripted.refuse = 503
    async with running(scripted, symbols=("BTC/USDT", "ETH/USDT"), channels=FOUR, clock=Hasty()) as (collector, bus):
        await until(lambda: "open" in {event.state for event in bus.of(Breaker)})
        scripted.refuse = 0
        await until(lambda: TRADES in scripted.carriers)
        await scripted.send(TRADES, trade(1))
        await until(lambda: "live" in bus.states("BTC/USDT"))
        await until(lambda: collector.breakers["ws"].state == "closed")


async def test_a_collector_leaves_nothing_open(scripted, caplog, capfd):
    async with running(scripted) as (_, bus):
        await until(lambda: {TRADES, DEPTH} <= set(scripted.carriers))
        await scripted.send(TRADES, trade(1))
        await until(lambda: bus.of(Trade))
    await until(lambda: not scripted.connected)
    gc.collect()
    assert not [record for record in caplog.records if record.name in {"asyncio", "ccxt.base.exchange"}]
    assert "explicit call to the .close()" not in "".join(capfd.readouterr())
