"""Every gap is found and none is invented: through drops, doubles, reordering, restarts and redelivery."""

import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Book, Candle, Event, Feed, Gap, Ticker, Trade
from bus.handler import Batch
from bus.local import LocalState
from daemon.exchanges import load
from daemon.recording import Recording, replay
from handlers.gaps import GapHandler

T0 = 1_723_161_240 * SECOND
MINUTE = 60 * SECOND


def trade(number: int, seconds: float = 0.0, exchange: str = "binance") -> Trade:
    ts = T0 + round(seconds * SECOND)
    return Trade(exchange, "BTC/USDT", ts, ts + 1_000_000, "ws", str(number), "1", "1", "buy")


def candle(minute: int, *, closed: bool = True, timeframe: str = "1m") -> Candle:
    ts = T0 + (minute + 1) * MINUTE
    return Candle(
        "binance", "BTC/USDT", ts, ts, "ws", timeframe, T0 + minute * MINUTE, "1", "1", "1", "1", "1", 1, closed
    )


def delta(first: int, last: int, seconds: float = 0.0, symbol: str = "BTC/USDT") -> Book:
    ts = T0 + round(seconds * SECOND)
    return Book("binance", symbol, ts, ts, "ws", "delta", [], [], first, last, None)


def snapshot(last: int, seconds: float = 0.0) -> Book:
    return Book("binance", "BTC/USDT", None, T0 + round(seconds * SECOND), "rest", "snapshot", [], [], None, last)


class Run:
    """A handler fed batch by batch, restarted when asked, with what it said."""

    def __init__(self) -> None:
        self.state = LocalState()
        self.gaps: list[Gap] = []
        self.handler = GapHandler()
        asyncio.run(self.handler.start(self.state))

    def restart(self) -> None:
        self.handler = GapHandler()
        asyncio.run(self.handler.start(self.state))

    def feed(self, *events: Event) -> list[Gap]:
        found = list(asyncio.run(self.handler.handle(Batch(events))))
        self.gaps += found
        return found

    def wait(self, seconds: float) -> list[Gap]:
        found = list(asyncio.run(self.handler.tick(T0 + round(seconds * SECOND))))
        self.gaps += found
        return found

    def open_ids(self) -> set[int]:
        """The ids inside the gaps that are open at the end, by each gap's newest state."""
        newest = {gap.id: gap for gap in self.gaps}
        return {
            number
            for gap in newest.values()
            if gap.state == "open"
            for number in range(int(gap.from_id or 0), int(gap.to_id or 0) + 1)
        }


def test_a_jump_in_trade_ids_is_a_gap_with_its_ids_and_times():
    run = Run()
    assert run.feed(trade(10, 1), trade(11, 2), trade(15, 3)) == []
    (gap,) = run.wait(10)
    assert (gap.exchange, gap.symbol, gap.channel, gap.state) == ("binance", "BTC/USDT", "trade", "open")
    assert (gap.from_id, gap.to_id) == ("12", "14")
    assert (gap.from_ts, gap.to_ts) == (T0 + 2 * SECOND, T0 + 3 * SECOND)
    assert "3 trades" in gap.reason
    assert run.wait(11) == []


def test_ids_that_come_a_little_late_are_no_gap():
    run = Run()
    run.feed(trade(10, 1), trade(13, 1.1), trade(12, 1.2), trade(11, 1.3), trade(14, 1.4))
    assert run.wait(10) == []


def test_a_gap_that_is_filled_later_is_told_and_what_is_left_is_a_gap_of_its_own():
    run = Run()
    run.feed(trade(10, 1), trade(15, 2))
    (gap,) = run.wait(10)
    changed = run.feed(trade(12, 1.5))
    assert changed[0].id == gap.id
    assert changed[0].state == "filled"
    run.wait(20)
    assert run.open_ids() == {11, 13, 14}
    run.feed(trade(11, 1.2), trade(13, 1.6), trade(14, 1.7))
    run.wait(30)
    assert run.open_ids() == set()


def test_the_hole_of_a_downtime_is_found_by_the_next_life():
    run = Run()
    run.feed(trade(10, 1))
    run.restart()
    run.feed(trade(20, 60))
    run.wait(70)
    assert run.open_ids() == set(range(11, 20))


def test_a_crash_before_a_gap_was_published_loses_no_gap():
    for events in (
        [trade(10, 1), trade(15, 2), trade(16, 10)],
        [snapshot(10), delta(11, 12, 1), snapshot(30, 5)],
        [ticker(1), Feed(T0 + 3 * SECOND, "binance", "*", "ticker", "down", "gone"), ticker(9)],
    ):
        run = Run()
        (gap,) = run.feed(*events)
        run.restart()  # nobody has published it: the batch comes again
        assert gap in run.feed(*events)
        assert run.feed() == []
        run.restart()
        assert run.wait(60) == []


def test_an_exchange_that_counts_anew_has_no_gap_below():
    run = Run()
    run.feed(trade(1_000, 1), trade(5, 100), trade(6, 101), trade(8, 102))
    run.wait(200)
    assert run.open_ids() == {7}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_open_at_the_end_is_exactly_what_never_came(data: st.DataObject):
    count = data.draw(st.integers(2, 60))
    dropped = set(data.draw(st.lists(st.integers(1, count - 2), max_size=20))) if count > 2 else set()
    sent = [number for number in range(count) if number not in dropped]
    late = data.draw(st.lists(st.sampled_from(sent), max_size=5)) if sent else []
    order = sent + late
    for _ in range(data.draw(st.integers(0, 10))):  # reordering within a few places, never of the very first
        if len(order) > 3:
            index = data.draw(st.integers(1, len(order) - 2))
            order[index], order[index + 1] = order[index + 1], order[index]
    run = Run()
    position = 0
    while position < len(order):
        size = data.draw(st.integers(1, 8))
        batch = [trade(number, position / 100) for number in order[position : position + size]]
        run.feed(*batch)
        if data.draw(st.booleans()):
            run.feed(*batch)  # delivered again
        if data.draw(st.booleans()):
            run.restart()
        if data.draw(st.booleans()):
            run.wait(position / 100 + data.draw(st.integers(0, 5)))
        position += size
    run.wait(1_000)
    run.wait(2_000)
    assert run.open_ids() == {number for number in dropped if number < max(sent)}


def test_a_missing_closed_candle_is_a_gap_and_an_open_one_is_none():
    run = Run()
    run.feed(candle(0), candle(1, closed=False), candle(1), candle(4, closed=False), candle(4))
    (gap,) = run.wait(600)
    assert (gap.channel, gap.from_ts, gap.to_ts) == ("candle", T0 + 2 * MINUTE, T0 + 4 * MINUTE)
    assert "2 closed 1m candles" in gap.reason
    assert [g.state for g in run.feed(candle(2))] == ["filled"]


def test_weeks_and_months_follow_the_calendar():
    monday, january = 1_704_067_200, 1_704_067_200  # 2024-01-01 was both
    months = [january, 1_706_745_600, 1_709_251_200, 1_711_929_600]
    for timeframe, opens in (
        ("1w", [monday, monday + 604_800, monday + 3 * 604_800]),
        ("1M", [*months[:2], months[3]]),
    ):
        run = Run()
        for open_s in opens:
            ns = open_s * SECOND
            run.feed(Candle("binance", "X/Y", ns, ns, "ws", timeframe, ns, "1", "1", "1", "1", "1", 1, closed=True))
        (gap,) = asyncio.run(run.handler.tick(2_000_000_000 * SECOND))
        expected = (monday + 2 * 604_800, monday + 3 * 604_800) if timeframe == "1w" else (months[2], months[3])
        assert (gap.from_ts, gap.to_ts) == (expected[0] * SECOND, expected[1] * SECOND)


def test_book_changes_that_were_missed_are_an_unfillable_gap_of_that_symbol_alone():
    run = Run()
    assert run.feed(snapshot(10), delta(11, 12, 1), delta(13, 15, 2), delta(9, 9, symbol="ETH/USDT")) == []
    (gap,) = run.feed(snapshot(30, 5))
    assert (gap.symbol, gap.channel, gap.state) == ("BTC/USDT", "book", "unfillable")
    assert (gap.from_id, gap.to_id) == ("16", "30")
    assert run.feed(delta(29, 31, 6), delta(32, 32, 7)) == []
    (gap,) = run.feed(delta(35, 36, 8))
    assert (gap.from_id, gap.to_id) == ("33", "34")


def ticker(seconds: float) -> Ticker:
    return Ticker("binance", "BTC/USDT", None, T0 + round(seconds * SECOND), "ws", "1", "1", "2", "1")


def test_a_disconnection_is_a_gap_of_feeds_without_ids_and_only_of_them():
    run = Run()
    run.feed(trade(1, 1), ticker(1), trade(2, 2), ticker(2))
    run.feed(Feed(T0 + 3 * SECOND, "binance", "*", "ticker", "down", "closed by the exchange"))
    run.feed(Feed(T0 + 3 * SECOND, "binance", "*", "trade", "down", "closed by the exchange"))
    (gap,) = run.feed(trade(3, 9), ticker(9))
    assert (gap.channel, gap.from_ts, gap.to_ts) == ("ticker", T0 + 2 * SECOND, T0 + 9 * SECOND)
    assert gap.state == "unfillable"
    assert "closed by the exchange" in gap.reason
    assert run.feed(ticker(10)) == []
    assert run.wait(60) == []


def test_an_event_from_before_the_interruption_does_not_end_it():
    run = Run()
    run.feed(ticker(1))
    run.feed(Feed(T0 + 3 * SECOND, "binance", "BTC/USDT", "ticker", "stale", "silent"))
    assert run.feed(ticker(2)) == []
    (gap,) = run.feed(ticker(8))
    assert (gap.from_ts, gap.to_ts) == (T0 + 2 * SECOND, T0 + 8 * SECOND)


def test_trades_without_continuous_ids_have_the_disconnection_as_their_gap():
    run = Run()
    run.feed(trade(1, 1, "okx"), trade(900, 2, "okx"))
    run.feed(Feed(T0 + 3 * SECOND, "okx", "BTC/USDT", "trade", "down", "gone"))
    (gap,) = run.feed(trade(2_000, 9, "okx"))
    assert (gap.exchange, gap.state, gap.from_id) == ("okx", "open", None)


def test_real_recordings_have_no_gap(recordings: Path):
    for name in ("binance_2021", "binance_btcusdt_20240808"):
        run = Run()
        recording = Recording(recordings / f"{name}.jsonl.gz")
        for _, events in replay(recording, load("binance")()):
            run.feed(*events)
        asyncio.run(run.handler.tick(2_000_000_000 * SECOND))
        assert run.gaps == []
