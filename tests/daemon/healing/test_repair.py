"""What is refetched, published and judged, for any history that an exchange may have kept."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import MILLISECOND, SECOND
from bus.errors import RequestRefused
from bus.events import Candle, Trade
from daemon.exchanges.base import FeedKey, Span
from daemon.exchanges.duplicates import IdFilter
from daemon.healing.checks import MINUTE
from daemon.healing.repair import Part, Repair

T0 = 1_723_161_240 * SECOND
ALL = Span(T0, T0 + 3 * MINUTE - 1)


def trade(number: int) -> Trade:
    """One every second, with an amount of its own."""
    ts = T0 + number * SECOND
    return Trade("x", "A/B", ts, ts + MILLISECOND, "backfill", str(number), "10", f"0.{number + 1}", "buy")


def bar(minute: int, volume: str, *, closed: bool = True) -> Candle:
    ts = T0 + minute * MINUTE
    return Candle("x", "A/B", None, ts, "backfill", "1m", ts, "1", "1", "1", "1", volume, None, closed=closed)


class History:
    """An exchange's collector with its history: pages of trades and candles, and what was published before."""

    def __init__(self, trades, candles=(), published=(), page: int = 7) -> None:
        self.trades, self.candles, self.page_size = trades, candles, page
        self.published: list = []
        self.known = IdFilter()
        for number in published:
            self.known.seen(number)

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list]:
        if feed.channel == "candle" and self.candles is None:
            raise RequestRefused("no candles here")
        events = self.trades if feed.channel == "trade" else self.candles
        if span.first_id:
            events = [event for event in events if int(span.first_id) <= int(event.id) <= int(span.last_id or 0)]
        for start in range(0, len(events), self.page_size):
            yield events[start : start + self.page_size]

    def fresh(self, event: Trade) -> bool:
        return not self.known.seen(int(event.id))

    async def publish(self, events) -> None:
        self.published += events

    def ids(self) -> list[int]:
        return [int(event.id) for event in self.published]


def by_id(history: History, first: int, last: int):
    span = Span(T0, T0 + 100 * SECOND, str(first), str(last))
    (verdict,) = asyncio.run(Repair(history).trades_by_id("A/B", span, [(first, last)]))
    return verdict


@given(st.sets(st.integers(10, 60)), st.sets(st.integers(10, 60)), st.integers(1, 20), st.randoms())
def test_by_id_every_trade_is_published_once_whatever_is_remembered_and_what_history_lacks_is_named(
    kept, published, page, chance
):
    trades = [trade(number) for number in kept]
    chance.shuffle(trades)  # exchanges differ in whether the newest or the oldest page comes first
    history = History(trades, published=sorted(published), page=page)
    verdict = by_id(history, 10, 60)
    assert sorted(history.ids()) == sorted(kept)  # who says that they are missing has read the bus
    assert not any(history.fresh(trade(number)) for number in kept)
    missing = {number for first, last in verdict.missing for number in range(first, last + 1)}
    assert missing == set(range(10, 61)) - kept
    assert verdict.state == ("unfillable" if missing else "filled")


def test_by_id_several_ranges_are_healed_together_and_nothing_between_them_is_published():
    history = History([trade(number) for number in range(40) if number != 31])
    span = Span(T0, T0 + 100 * SECOND, "10", "32")
    verdicts = asyncio.run(Repair(history).trades_by_id("A/B", span, [(10, 11), (20, 20), (30, 32)]))
    assert history.ids() == [10, 11, 20, 30, 32]
    assert [verdict.state for verdict in verdicts] == ["filled", "filled", "unfillable"]
    assert verdicts[2].missing == [(31, 31)]


def volume(numbers) -> str:
    return str(sum((Decimal(trade(number).amount) for number in numbers), Decimal()))


def by_volume(history: History, span: Span, *, again: bool = False):
    (verdict,) = asyncio.run(Repair(history).trades_by_volume("A/B", [Part(span, again=again)]))
    return verdict


def test_by_volume_whole_minutes_are_checked_and_those_in_the_span_published():
    trades = [trade(number) for number in range(180)]
    bars = [bar(minute, volume(range(60 * minute, 60 * minute + 60))) for minute in range(3)]
    history = History(trades, bars, published=[70])
    verdict = by_volume(history, Span(T0 + 65 * SECOND, T0 + 75 * SECOND))
    assert verdict.state == "filled"
    assert "adding up" in verdict.reason
    assert history.ids() == [65, 66, 67, 68, 69, 71, 72, 73, 74, 75]


def test_by_volume_several_parts_are_healed_together_and_judged_by_their_own_minutes():
    trades = [trade(number) for number in range(180) if number != 130]
    bars = [bar(minute, volume(range(60 * minute, 60 * minute + 60))) for minute in range(3)]
    history = History(trades, bars, published=[5, 61, 100])
    spans = [(125, 126), (99, 101), (58, 62), (60, 61), (5, 6)]
    parts = [Part(Span(T0 + start * SECOND, T0 + end * SECOND), again=start == 60) for start, end in spans]
    verdicts = asyncio.run(Repair(history).trades_by_volume("A/B", parts))
    assert history.ids() == [6, 58, 59, 60, 61, 62, 99, 101, 125, 126]
    assert [verdict.state for verdict in verdicts] == ["unfillable", "filled", "filled", "filled", "filled"]
    assert [verdict.reason.partition(" from")[0] for verdict in verdicts] == [
        "59 trades of 1 minutes", "60 trades of 1 minutes", "120 trades of 2 minutes", "60 trades of 1 minutes",
        "60 trades of 1 minutes",
    ]  # fmt: skip


def test_by_volume_a_minute_that_does_not_add_up_cannot_be_healed():
    trades = [trade(number) for number in range(180) if number != 70]
    bars = [bar(minute, volume(range(60 * minute, 60 * minute + 60))) for minute in range(3)]
    verdict = by_volume(History(trades, bars), ALL)
    assert (verdict.state, "in 1 of them" in verdict.reason) == ("unfillable", True)


def test_by_volume_without_candles_is_filled_and_says_that_it_was_not_verified():
    verdict = by_volume(History([trade(1)], None), ALL)
    assert (verdict.state, "not verified: no candles here" in verdict.reason) == ("filled", True)


def test_what_was_published_before_is_published_again_where_that_is_wanted():
    history = History([trade(1), trade(2)], None, published=[1, 2])
    by_volume(history, ALL, again=True)
    assert history.ids() == [1, 2]


@pytest.mark.parametrize(
    ("bars", "state", "word"),
    [
        ([bar(0, "1"), bar(1, "1"), bar(2, "1")], "filled", "3 candles"),
        ([bar(0, "1"), bar(2, "1")], "filled", "no more in this time"),
        ([], "unfillable", "none of 3 candles"),
        ([bar(0, "1", closed=False)], "unfillable", "none of 3 candles"),
    ],
)
def test_candles_are_published_when_they_are_closed(bars, state, word):
    history = History([], bars)
    verdict = asyncio.run(Repair(history).candles(FeedKey("A/B", "candle", "1m"), Span(T0, T0 + 3 * MINUTE)))
    assert verdict.state == state
    assert word in verdict.reason
    assert history.published == [one for one in bars if one.closed]


@pytest.mark.parametrize(("first", "last", "complete"), [(0, 30, True), (9, 20, True), (10, 30, False), (0, 19, False)])
def test_by_reach_the_newest_trades_are_all_that_was_missed_where_they_begin_before_it_and_end_behind(
    first, last, complete
):
    history = History([trade(number) for number in range(first, last + 1)], published=[*range(11), 20], page=100)
    parts = [Part(Span(trade(10).ts, trade(20).ts)), Part(Span(trade(15).ts, trade(16).ts))]
    whole, within = asyncio.run(Repair(history).trades_by_reach("A/B", parts))
    assert (whole is not None and whole.state == "filled") == complete
    assert within is not None
    assert within.reason.startswith("2 trades")
    assert history.ids() == [number for number in range(11, 20) if first <= number <= last]
