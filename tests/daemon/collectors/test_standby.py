"""The seam of a take-over: what one process published and what the other adds are the exchange's sequence, once."""

import asyncio

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND, ManualClock
from bus.events import Book, Breaker, Candle, Feed, MarketEvent, Ticker, Trade
from bus.interface import Group
from bus.local import LocalBus
from daemon.collectors.outbox import Outbox
from daemon.collectors.standby import KEPT, Standby
from tests.daemon.collectors.helpers import Tiny

NOW = 1_700_000_000 * SECOND


def trade(number: int, symbol: str = "A/B") -> Trade:
    return Trade("x", symbol, NOW, NOW + number, "ws", str(number), "1", "1", "buy")


def ticker(bid: int, recv: int) -> Ticker:
    return Ticker("x", "A/B", None, NOW + recv, "ws", bid=str(bid))


def book(last: int, symbol: str = "A/B") -> Book:
    return Book("x", symbol, NOW, NOW + last, "ws", "delta", [], [], last, last, last - 1)


def candle(minute: int, close: int, recv: int) -> Candle:
    return Candle("x", "A/B", NOW, NOW + recv, "ws", "1m", minute, "1", "1", "1", str(close), "1", 1, closed=False)


def seen_elsewhere(events: list[MarketEvent], shift: int = 3) -> list[MarketEvent]:
    """The same frames, received by another process a little later."""
    return [msgspec.structs.replace(event, recv=event.recv + shift) for event in events]


def identity(event: MarketEvent) -> object:
    return msgspec.structs.replace(event, recv=0)


def standby_with(events) -> Standby:
    standby = Standby(ManualClock(NOW))
    standby.add(events)
    return standby


def test_only_what_comes_after_the_last_published_is_added():
    ours = [trade(1), book(1), trade(2), ticker(5, 3), book(2), trade(3), ticker(6, 4)]
    seam = standby_with(ours).after(seen_elsewhere(ours[:4]))
    assert [identity(event) for event in seam.events] == [identity(event) for event in ours[4:]]
    assert not seam.torn


async def test_how_the_breakers_stand_is_told_at_the_take_over():
    """A ban from before a restart is told, although the lease is still the dead process's when it is read."""
    clock = ManualClock(NOW)
    bus = LocalBus()
    outbox = Outbox(bus, clock)
    outbox.stand_by()
    changes = [Breaker(1, "x", "ws", "open"), Breaker(1, "x", "rest", "open", NOW), Breaker(2, "x", "ws", "closed")]
    for change in changes:
        outbox.say(change)
    await outbox.publish([trade(1)])
    await outbox.take_over("x", ["trade"])
    consumer = await bus.consumer(Group("all", frozenset({"trade"}), system=True))
    found = [event for frame in (await consumer.read(1)).frames for event in frame.events]
    assert sorted(found, key=lambda event: type(event).__name__) == [changes[2], changes[1], trade(1)]


def test_a_feed_of_which_nothing_was_published_comes_whole():
    ours = [trade(1, "C/D"), trade(2, "C/D"), trade(7)]
    assert standby_with(ours).after([trade(6), trade(7)]).events == ours[:2]


def test_where_the_last_published_is_not_known_the_feed_is_torn():
    ours = [book(10), trade(10), book(11)]
    seam = standby_with(ours).after([book(5), trade(10)])
    assert (seam.events, seam.torn) == ([book(10), book(11)], [book(10)])


def test_quotes_that_repeat_are_aligned_at_the_newest():
    ours = [ticker(1, 1), ticker(2, 2), ticker(1, 3), ticker(3, 4)]
    assert standby_with(ours).after(seen_elsewhere(ours[:3])).events == [ours[3]]


def test_what_is_too_old_and_what_is_not_about_the_market_is_not_kept():
    clock = ManualClock(NOW)
    standby = Standby(clock)
    standby.add([trade(1), Feed(NOW, "x", "A/B", "trade", "live")])
    clock.advance(KEPT / SECOND + 1)
    late = msgspec.structs.replace(trade(2), recv=clock.now())
    standby.add([late])
    assert standby.after([]).events == [late]


kinds = st.sampled_from(["trade", "book", "ticker", "candle"])


@given(st.lists(st.tuples(kinds, st.sampled_from(["A/B", "C/D"]), st.integers(0, 3)), max_size=40), st.data())
def test_published_and_added_are_the_whole_sequence_once(plan, data):
    events: list[MarketEvent] = []
    for number, (kind, symbol, value) in enumerate(plan):
        match kind:
            case "trade":
                events.append(trade(number, symbol))
            case "book":
                events.append(book(number, symbol))
            case "ticker":
                events.append(ticker(number * 10 + value, number))
            case _:
                events.append(candle(0, number * 10 + value, number))
    cut = data.draw(st.integers(0, len(events)))
    start = data.draw(st.integers(0, cut))
    published = events[:cut]
    seam = standby_with(seen_elsewhere(events[start:])).after(published)
    whole = [repr(identity(event)) for event in [*published, *seam.events]]
    assert sorted(whole) == sorted(repr(identity(event)) for event in events)


async def test_a_collector_without_the_lease_publishes_nothing_and_takes_over_without_a_hole(stage):
    stage.bus.leases.held = False
    async with stage.running(Tiny()) as collector:
        peer = await stage.subscribed()
        for number in range(10):
            await peer.send({"t": "AAA/USD", "id": number})
        await stage.until(lambda: collector.status()["feeds"][0]["state"] == "live")
        assert not collector.publishing
        assert not stage.bus.events
        stage.bus.others = [Trade("tiny", "AAA/USD", 1, 5, "ws", str(n), "1", "1", "buy") for n in range(7)]
        stage.bus.leases.held = True
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [7, 8, 9], step=0.5)
        await peer.send({"t": "AAA/USD", "id": 10})
        await stage.until(lambda: stage.bus.ids("AAA/USD") == [7, 8, 9, 10])
        stage.bus.leases.held = False
        await stage.until(lambda: not collector.publishing, step=0.5)
        await peer.send({"t": "AAA/USD", "id": 11})
        await asyncio.sleep(0.05)
        assert stage.bus.ids("AAA/USD") == [7, 8, 9, 10]


async def test_a_torn_feed_is_told_before_its_first_event(stage):
    stage.bus.leases.held = False
    async with stage.running(Tiny()) as collector:
        peer = await stage.subscribed()
        await peer.send({"t": "AAA/USD", "id": 20})
        await stage.until(lambda: collector.status()["feeds"][0]["state"] == "live")
        stage.bus.others = [Trade("tiny", "AAA/USD", 1, 5, "ws", "3", "1", "1", "buy")]
        stage.bus.leases.held = True
        await stage.until(lambda: stage.bus.states("AAA/USD") == ["down", "live"], step=0.5)
        assert stage.bus.of(Feed)[0].ts == stage.bus.of(Trade)[0].recv


async def test_who_stops_while_another_goes_on_does_not_say_that_the_feeds_are_down(stage):
    stage.bus.leases.waiting = True
    async with stage.running(Tiny()):
        await stage.subscribed()
        await stage.leadership.release()
    assert "down" not in stage.bus.states("AAA/USD")
