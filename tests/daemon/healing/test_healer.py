"""When an exchange cannot be asked, and when one request fails: no gap waits for another's sake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Self

import msgspec

from bus.clock import SECOND, ManualClock
from bus.errors import ExchangeUnavailable, NotAsked
from bus.events import OWN_LOSS, Candle, Gap, Trade
from bus.local import LocalBus, LocalState
from daemon.exchanges.base import FeedKey, Span
from daemon.healing import GapQueue, Healer
from daemon.healing.checks import MINUTE


def gap(number: int, now: int) -> Gap:
    at = now - 3_600 * SECOND + number
    return Gap(at, f"g{number}", "x", "A/B", "trade", at, at, str(number), str(number), "open", "1 trade missing by id")


class NoLedger:
    async def unsettled(self, exchange: str) -> list[Gap]:
        return []


class Exchange:
    """A collector whose history answers, or raises what `trouble` says of the span."""

    name = "x"
    publishing = True
    newest_only = False
    remembers_nothing = True

    def __init__(self, trouble: Callable[[Span], Exception | None]) -> None:
        self.trouble = trouble
        self.asked: list[tuple[int, int]] = []
        self.published: list[Trade] = []

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list[Trade]]:
        first, last = int(span.first_id or 0), int(span.last_id or 0)
        if (error := self.trouble(span)) is not None:
            raise error
        self.asked.append((first, last))
        yield [
            Trade("x", "A/B", span.start, span.start, "backfill", str(n), "1", "1", "buy")
            for n in range(first, last + 1)
        ]

    def fresh(self, trade: Trade) -> bool:
        return self.remembers_nothing

    async def publish(self, events: list[Trade]) -> None:
        self.published += events


class Healing:
    """A healer with gaps a page apart, under a clock that is moved by hand."""

    def __init__(self, trouble: Callable[[Span], Exception | None], gaps: int = 4) -> None:
        self.clock = ManualClock()
        self.bus = LocalBus()
        self.exchange = Exchange(trouble)
        self.queue = GapQueue("x", LocalState(), self.clock, Random(1))
        self.gaps = [gap(5_000 * number, self.clock.now()) for number in range(1, gaps + 1)]
        self.healer = Healer(self.exchange, self.queue, NoLedger(), self.bus, self.clock)

    async def __aenter__(self) -> Self:
        await self.queue.note(self.gaps)
        self._task = asyncio.create_task(self.healer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def pass_by(self, seconds: int) -> None:
        for _ in range(seconds):
            for _ in range(50):
                await asyncio.sleep(0)
            self.clock.advance(1)
        for _ in range(50):
            await asyncio.sleep(0)

    def said(self, state: str) -> list[str]:
        frames = self.bus.frames(self.bus.names.system)
        return [event.id for frame in frames for event in frame.events if type(event) is Gap and event.state == state]


async def test_while_the_exchange_cannot_be_asked_all_gaps_keep_their_turn():
    closed = True
    async with Healing(lambda _: NotAsked("the breaker is open") if closed else None) as healing:
        await healing.pass_by(3_600)
        assert healing.said("filling") == ["g20000"]  # said once, however often it is tried
        assert len(healing.queue) == 4
        closed = False
        await healing.pass_by(4)
        assert healing.said("filled") == ["g20000", "g15000", "g10000", "g5000"]


async def test_a_request_that_always_fails_holds_up_no_other_gap():
    async with Healing(lambda span: ExchangeUnavailable("HTTP 500") if span.first_id == "20000" else None) as healing:
        await healing.pass_by(2)
        assert healing.said("filled") == ["g15000", "g10000", "g5000"]
        assert len(healing.queue) == 1


async def test_what_was_lost_after_it_had_been_received_is_published_again():
    async with Healing(lambda _: None, gaps=0) as healing:
        healing.exchange.remembers_nothing = False  # everything counts as published
        minute = (healing.clock.now() - 3_600 * SECOND) // MINUTE * MINUTE
        ours = Gap(minute, "ours", "x", "A/B", "trade", minute, minute, None, None, "open", f"{OWN_LOSS}x")
        theirs = msgspec.structs.replace(ours, id="theirs", from_ts=minute - MINUTE, to_ts=minute - MINUTE, reason="x")
        await healing.queue.note([ours, theirs])
        await healing.pass_by(10)
        assert sorted(healing.said("unfillable")) == ["ours", "theirs"]  # this exchange has no candles to compare with
    assert {trade.ts for trade in healing.exchange.published} == {minute}


class Minutes(Exchange):
    """A collector whose history is one trade a second, with candles."""

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list]:
        if feed.channel == "trade":
            self.asked.append((span.start, span.end))
            times = range(-(-span.start // SECOND) * SECOND, span.end + 1, SECOND)
            yield [Trade("x", "A/B", ts, ts, "backfill", str(ts // SECOND), "1", "1", "buy") for ts in times]
            return
        for opened in range(span.start, span.end, MINUTE):
            rest = [None, opened, "backfill", "1m", opened, "1", "1", "1", "1", "60", None]
            yield [Candle("x", "A/B", *rest, closed=True)]


async def test_gaps_of_a_minute_without_ids_cost_one_look_at_its_trades():
    healing = Healing(lambda _: None, gaps=0)
    exchange = Minutes(lambda _: None)
    healing.healer = Healer(exchange, healing.queue, NoLedger(), healing.bus, healing.clock)
    minute = (healing.clock.now() - 3_600 * SECOND) // MINUTE * MINUTE
    starts = [minute + second * SECOND for second in range(0, 60, 6)]
    gaps = [Gap(ts, f"g{ts}", "x", "A/B", "trade", ts, ts + SECOND, None, None, "open", "cut off") for ts in starts]
    async with healing:
        await healing.queue.note(gaps)
        await healing.pass_by(3)
    assert sorted(healing.said("filled")) == sorted(gap.id for gap in gaps)
    assert exchange.asked == [(minute, minute + MINUTE - 1)]
    assert sorted(trade.ts for trade in exchange.published) == sorted([*starts, *(ts + SECOND for ts in starts)])


class Newest(Exchange):
    """A collector whose history is what was traded in the last `reach` seconds, one trade a second."""

    newest_only = True

    def __init__(self, clock: ManualClock, reach: int) -> None:
        super().__init__(lambda _: None)
        self.clock = clock
        self.reach = reach
        self.times: list[int] = []

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list]:
        now = self.clock.now()
        if feed.channel == "trade":
            self.times.append(now)
            seconds = range(now // SECOND - self.reach, now // SECOND + 1)
            ours = [second * SECOND for second in seconds if span.start <= second * SECOND <= span.end]
            yield [Trade("x", "A/B", ts, ts, "backfill", str(ts // SECOND), "1", "1", "buy") for ts in ours]
            return
        rest = [None, now, "backfill", "1m", span.start, "1", "1", "1", "1", "60", None]
        yield [Candle("x", "A/B", *rest, closed=True)]


async def newest(reach: int, seconds: int) -> tuple[Healing, Newest, Gap]:
    healing = Healing(lambda _: None, gaps=0)
    exchange = Newest(healing.clock, reach)
    healing.healer = Healer(exchange, healing.queue, NoLedger(), healing.bus, healing.clock)
    now = healing.clock.now() // SECOND * SECOND
    hole = Gap(now, "hole", "x", "A/B", "trade", now - 10 * SECOND, now, None, None, "open", "gone")
    async with healing:
        await healing.queue.note([hole])
        await healing.pass_by(seconds)
    return healing, exchange, hole


async def test_where_only_the_newest_trades_can_be_had_they_are_asked_for_at_once():
    healing, exchange, hole = await newest(reach=30, seconds=4)
    assert healing.said("filled") == ["hole"]
    assert [trade.ts for trade in exchange.published] == [hole.ts - n * SECOND for n in range(10, -1, -1)]
    assert len(exchange.times) == 1


async def test_newest_trades_that_do_not_reach_back_are_published_and_judged_when_their_minute_is_over():
    healing, exchange, hole = await newest(reach=8, seconds=100)
    assert healing.said("unfillable") == ["hole"]
    assert {trade.ts for trade in exchange.published} >= {hole.ts - n * SECOND for n in range(6)}
    first, second, *_ = exchange.times
    assert first - hole.ts < 5 * SECOND
    assert second >= -(-(hole.ts + 1) // MINUTE) * MINUTE
