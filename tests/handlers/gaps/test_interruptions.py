"""Feeds without continuous ids: an interruption is the gap, whatever order events and reports are read in."""

import msgspec
import pytest
from gap_run import T0, Run, at, feed, ticker, trade
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Gap, Ticker
from handlers.gaps.interruptions import REPORTS_KEPT


def spans(gaps: list[Gap]) -> list[tuple[int, int]]:
    return [(gap.from_ts, gap.to_ts) for gap in gaps]


def test_a_disconnection_is_a_gap_of_feeds_without_ids_and_only_of_them():
    run = Run()
    run.feed(trade(1, 1), ticker(1), trade(2, 2), ticker(2), ticker(2, "ETH/USDT"))
    run.feed(feed(3, "down", "ticker", "*", "closed by the exchange"), feed(3, "down", "trade", "*"))
    run.feed(feed(4, "connecting", "ticker", "*"), feed(9, "live", "ticker", "*"))
    gaps = run.feed(trade(3, 9), ticker(9), ticker(9.5, "ETH/USDT"))
    assert [(gap.channel, gap.symbol) for gap in gaps] == [("ticker", "BTC/USDT"), ("ticker", "ETH/USDT")]
    assert spans(gaps) == [(at(2), at(9)), (at(2), at(9.5))]
    assert {gap.state for gap in gaps} == {"unfillable"}
    assert "closed by the exchange" in gaps[0].reason
    assert run.feed(ticker(10)) == []
    assert run.wait(60) == []


def test_trades_lost_in_a_disconnection_are_told_by_their_ids():
    run = Run()
    run.feed(trade(1, 1), feed(2, "down", "trade"), trade(5, 9))
    (gap,) = run.wait(60)
    assert (gap.from_id, gap.to_id) == ("2", "4")


def test_trades_without_continuous_ids_have_the_disconnection_as_their_gap():
    run = Run()
    run.feed(trade(1, 1, "okx"), trade(900, 2, "okx"))
    run.feed(msgspec.structs.replace(feed(3, "down", "trade"), exchange="okx"))
    (gap,) = run.feed(trade(2_000, 9, "okx"))
    assert (gap.exchange, gap.state, gap.from_id) == ("okx", "open", None)
    assert spans([gap]) == [(at(2), at(9))]


def test_backfilled_history_neither_ends_an_interruption_nor_moves_its_bounds():
    run = Run()
    run.feed(trade(1, 1, "okx"), msgspec.structs.replace(feed(3, "down", "trade"), exchange="okx"))
    old = msgspec.structs.replace(trade(2, 2, "okx"), source="backfill", recv=at(8))
    assert run.feed(old) == []
    assert spans(run.feed(trade(9, 9, "okx"))) == [(at(1), at(9))]


@pytest.mark.parametrize("wrong", [at(3) // 10, 2 * at(3)])
def test_a_time_that_is_years_away_bounds_no_gap(wrong):
    run = Run()
    odd = msgspec.structs.replace(trade(2, 3, "okx"), ts=wrong)
    run.feed(trade(1, 1, "okx"), odd)
    run.feed(msgspec.structs.replace(feed(4, "down", "trade"), exchange="okx"))
    assert spans(run.feed(trade(4, 5, "okx"))) == [(odd.recv, at(5))]
    run.feed(msgspec.structs.replace(feed(6, "down", "trade"), exchange="okx"))
    assert spans(run.feed(msgspec.structs.replace(odd, id="7", recv=at(7)))) == [(at(5), at(7))]


def test_an_event_from_before_the_interruption_does_not_end_it():
    run = Run()
    run.feed(ticker(1))
    run.feed(feed(3, "stale", reason="silent"))
    assert run.feed(ticker(2)) == []
    assert spans(run.feed(ticker(8))) == [(at(2), at(8))]


def test_another_exchange_channel_or_symbol_is_not_concerned():
    run = Run()
    run.feed(ticker(1), feed(2, "down", "book"), feed(2, "down", symbol="ETH/USDT"))
    run.feed(msgspec.structs.replace(feed(2, "down"), exchange="okx"), ticker(9))
    assert run.gaps == []


def test_a_restart_of_the_daemon_is_an_interruption():
    run = Run()
    run.feed(ticker(1))
    run.restart()
    run.feed(feed(60, "connecting", reason=""))
    run.restart()
    (gap,) = run.feed(ticker(61))
    assert spans([gap]) == [(at(1), at(61))]
    assert "interrupted" in gap.reason


def test_within_one_batch_the_order_of_the_streams_does_not_matter():
    early, late = Run(), Run()
    events = [ticker(1), ticker(2), ticker(9), ticker(10)]
    early.feed(ticker(0.5))
    late.feed(ticker(0.5))
    reports = [feed(3, "down"), feed(4, "connecting"), feed(9, "live")]
    assert spans(early.feed(*reports, *events)) == [(at(2), at(9))]
    assert late.feed(*events, *reports) == early.gaps


def test_a_report_that_is_read_after_the_events_finds_the_pause_it_belongs_to():
    run = Run()
    run.feed(ticker(1), ticker(2), ticker(9), ticker(9.01), ticker(9.02))
    assert spans(run.feed(feed(3, "down"))) == [(at(2), at(9))]
    assert run.feed(feed(4, "connecting")) == []
    assert run.feed(ticker(10)) == []


def test_a_report_whose_pause_is_forgotten_is_told_with_the_bounds_that_are_known():
    run = Run()
    run.feed(ticker(1), ticker(2), ticker(9), ticker(12), ticker(15))
    assert spans(run.feed(feed(3, "down"))) == [(at(3), at(15))]
    assert run.feed(feed(4, "connecting"), ticker(16)) == []


def test_more_reports_than_are_kept_still_have_their_gap():
    run = Run()
    run.feed(ticker(1))
    run.feed(*(feed(2 + n / 10, "down") for n in range(5 * REPORTS_KEPT)))
    assert spans(run.feed(ticker(100))) == [(at(1), at(100))]
    assert run.feed(ticker(101)) == []


def test_reports_that_are_read_before_a_feeds_first_event_are_not_lost():
    run = Run()
    run.feed(feed(3, "down"), feed(7, "down"))
    assert spans(run.feed(ticker(1), ticker(2), ticker(5), ticker(6), ticker(9))) == [(at(2), at(5)), (at(6), at(9))]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=1, max_size=12), st.data())
def test_every_interruption_is_one_gap_however_far_ahead_the_reports_are_read(
    stretches: list[tuple[int, int]], data: st.DataObject
):
    """Stretches of events, each ended by so many reports."""
    moment, events, reports, expected, start = 0, [], [], [], None
    for count, ended in stretches:
        for _ in range(count):
            moment += 1
            events.append(ticker(moment))
            if start is not None:
                expected.append((start, at(moment)))
                start = None
        for _ in range(ended):
            moment += 1
            reports.append(feed(moment, data.draw(st.sampled_from(["down", "stale", "connecting"]))))
        if ended and start is None:
            start = events[-1].recv
    run = Run()
    run.feed(events[0])
    read, ahead = 1, 0
    while read < len(events):
        size = data.draw(st.integers(1, 6))
        batch = events[read : read + size]
        least = sum(report.ts <= batch[-1].recv for report in reports)
        most = data.draw(st.integers(least, len(reports)))
        deliver = data.draw(st.sampled_from([run.feed, run.crash_on, run.fail_to_save]))
        deliver(*batch, *reports[ahead:most])
        read, ahead = read + size, max(ahead, most)
    assert spans(list(run.ledger.values())) == expected
    assert all(gap.from_ts >= T0 + SECOND for gap in run.ledger.values())


def test_a_leap_in_the_exchanges_time_moves_no_gap_that_comes_after_it():
    def quote(seconds: float, leap: float = 0) -> Ticker:
        return msgspec.structs.replace(ticker(seconds), ts=at(seconds + leap))

    run = Run()
    run.feed(quote(1), quote(2, leap=3_600), quote(3))
    run.feed(feed(4, "down"))
    assert spans(run.feed(quote(9), quote(10))) == [(at(3), at(9))]
    run.feed(quote(11, leap=3_600), feed(12, "down"))  # the last one before the gap is itself the leap
    assert spans(run.feed(quote(20), quote(21))) == [(at(11), at(20))]
