"""Trade ids: every gap is found and none invented, through drops, doubles, reordering, crashes and redelivery."""

import msgspec
import pytest
from gap_run import BTC, MINUTE, T0, Run, at, candle, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Quality
from handlers.gaps.ranges import HOLES_KEPT, RESTARTED


def test_a_jump_is_a_gap_with_its_ids_and_times():
    run = Run()
    assert run.feed(trade(10, 1), trade(11, 2), trade(15, 3)) == []
    (gap,) = run.wait(10)
    assert (gap.exchange, gap.symbol, gap.channel, gap.state) == ("binance", "BTC/USDT", "trade", "open")
    assert (gap.from_id, gap.to_id) == ("12", "14")
    assert (gap.from_ts, gap.to_ts) == (T0 + 2 * SECOND, T0 + 3 * SECOND)
    assert "3 trades" in gap.reason
    assert run.wait(20) == []


def test_a_busy_feed_tells_its_gap_without_a_tick_once_it_is_two_seconds_further():
    run = Run()
    assert run.feed(trade(10, 1), trade(12, 2), trade(13, 3.9)) == []
    (gap,) = run.feed(trade(14, 4))
    assert (gap.from_id, gap.to_id) == ("11", "11")


def test_another_stream_that_is_read_further_does_not_cut_the_grace_short():
    run = Run()
    assert run.feed(trade(10, 1), trade(12, 1.1), candle(30), trade(900, 1_000, symbol="ETH/USDT")) == []
    assert run.feed(trade(11, 1.2), trade(13, 1.3)) == []
    assert run.wait(2_000) == []


def test_a_backlog_has_its_grace_from_the_first_tick_that_sees_the_hole():
    run = Run()
    run.feed(trade(10, 1), trade(12, 1.1))
    assert run.tick(90_000) == []
    run.feed(trade(11, 1.2))
    assert run.tick(90_003) == []


def test_ids_that_come_a_little_late_are_no_gap():
    run = Run()
    run.feed(trade(10, 1), trade(13, 1.1), trade(12, 1.2), trade(11, 1.3), trade(14, 1.4))
    assert run.wait(10) == []


def test_a_gap_that_shrinks_is_filled_and_what_is_left_is_told_in_the_same_batch():
    run = Run()
    run.feed(trade(10, 1), trade(15, 2))
    (gap,) = run.wait(10)
    filled, *left = run.feed(trade(12, 1.5), trade(16, 11))
    assert (filled.id, filled.state) == (gap.id, "filled")
    assert [(g.from_id, g.to_id, g.state) for g in left] == [("11", "11", "open"), ("13", "14", "open")]
    assert [(g.from_ts, g.to_ts) for g in left] == [(at(1), at(1.5)), (at(1.5), at(2))]
    assert run.open_ids() == {11, 13, 14}
    run.feed(trade(11, 1.2), trade(13, 1.6), trade(14, 1.7))
    assert run.open_ids() == set()


def test_while_a_gap_is_healed_the_healer_alone_speaks_of_it():
    run = Run()
    run.feed(trade(0, 1), trade(501, 9))
    run.wait(20)
    page = [msgspec.structs.replace(trade(n, 1 + n / 100), source="backfill", recv=at(30)) for n in range(1, 501)]
    assert run.feed(*page[:100]) == []
    assert run.feed(*page[150:]) == []
    run.feed(trade(502, 40))
    assert run.wait(50) == []


def test_a_hole_that_is_healed_before_it_was_told_is_no_gap():
    run = Run()
    run.feed(trade(0, 1), trade(3, 1))
    run.feed(*(msgspec.structs.replace(trade(n, 1), source="backfill") for n in (1, 2)))
    assert run.wait(50) == []


def test_an_id_that_no_trade_has_is_no_hole():
    run = Run()
    remark = Quality(at(1), "binance", BTC, "trade", "not_a_trade", "info", "11", "insurance fund")
    run.feed(trade(10, 1), remark, trade(12, 1.1))
    assert run.wait(50) == []


def test_a_remark_may_be_read_long_before_or_after_its_neighbours():
    run = Run()
    early = Quality(at(1), "binance", BTC, "trade", "not_a_trade", "info", "13", "insurance fund")
    late = Quality(at(1), "binance", BTC, "trade", "not_a_trade", "info", "11", "insurance fund")
    run.feed(trade(10, 1), early)
    run.feed(trade(12, 1.1), trade(14, 1.2))
    run.wait(50)
    assert run.open_ids() == {11}
    run.feed(late)
    assert run.open_ids() == set()


def test_a_late_id_from_before_the_telling_still_closes_the_ledgers_row():
    """The handler may be far behind the wall clock that its ticks bring."""
    run = Run()
    run.feed(trade(10, 1), trade(12, 1.1))
    run.wait(90_000)
    assert run.open_ids() == {11}
    run.feed(trade(11, 1.2))
    assert run.open_ids() == set()


def test_the_hole_of_a_downtime_is_found_by_the_next_life():
    run = Run()
    run.feed(trade(10, 1))
    run.restart()
    run.feed(trade(20, 60))
    run.wait(70)
    assert run.open_ids() == set(range(11, 20))


def test_an_exchange_that_counts_anew_has_no_gap_below_and_its_old_holes_are_told():
    run = Run()
    run.feed(trade(998, 1), trade(1_000, 1.5), trade(5, 100), trade(6, 101), trade(8, 102))
    run.wait(200)
    assert run.open_ids() == {999, 7}


def test_more_holes_than_are_kept_are_told_and_not_forgotten():
    run = Run()
    count = HOLES_KEPT + 50
    run.feed(*(trade(2 * n, 1 + n / 10_000) for n in range(count + 1)))
    run.wait(10)
    assert run.open_ids() == set(range(1, 2 * count, 2))


def test_symbols_do_not_mix_and_ids_that_are_no_numbers_are_not_followed():
    run = Run()
    odd = msgspec.structs.replace(trade(1, 3), id="a7")
    run.feed(trade(1, 1), trade(500, 1, symbol="ETH/USDT"), odd, trade(2, 2), trade(501, 2, symbol="ETH/USDT"))
    assert run.wait(10) == []


def test_two_lives_give_the_same_gap_the_same_id():
    ids = []
    for _ in range(2):
        run = Run()
        run.feed(trade(10, 1), trade(12, 2))
        ids += [gap.id for gap in run.wait(10)]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def arrivals(data: st.DataObject, sent: list[int]) -> list[int]:
    """The ids as they come: reordered within bounds, some doubled, perhaps over two connections at once."""
    shift = data.draw(st.integers(0, 6), label="reordering")
    keyed = [(place + data.draw(st.integers(0, shift)), number) for place, number in enumerate(sent)]
    order = [number for _, number in sorted(keyed, key=lambda pair: pair[0])]
    if data.draw(st.booleans(), label="two connections"):
        lag = data.draw(st.integers(1, 9))
        pairs = [(p, n) for p, n in enumerate(order)] + [(p + lag + 0.5, n) for p, n in enumerate(order)]
        order = [number for _, number in sorted(pairs)]
    for number in data.draw(st.lists(st.sampled_from(sent), max_size=4), label="doubles"):
        order.insert(data.draw(st.integers(order.index(number) + 1, len(order))), number)
    return order


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_open_at_the_end_is_exactly_what_never_came(data: st.DataObject):
    count = data.draw(st.integers(2, 70))
    dropped = data.draw(st.sets(st.integers(1, count - 1), max_size=25))
    order = arrivals(data, [number for number in range(count) if number not in dropped])
    run, came, place = Run(), set(), 0
    pace = data.draw(st.sampled_from([0.001, 0.3, 3.0]), label="seconds between events")
    while place < len(order):
        size = data.draw(st.integers(1, 12))
        batch = [trade(number, (place + i) * pace) for i, number in enumerate(order[place : place + size])]
        came |= {int(event.id) for event in batch}
        deliver = data.draw(st.sampled_from([run.feed, run.feed, run.crash_on, run.fail_to_save]))
        deliver(*batch)
        match data.draw(st.sampled_from(["", "", "again", "restart", "restart and again", "tick"])):
            case "again":
                run.feed(*batch)
            case "restart":
                run.restart()
            case "restart and again":
                run.restart()
                run.feed(*batch)
            case "tick":
                run.tick((place + size) * pace + data.draw(st.integers(0, 5)))
        assert not run.open_ids() & came, "a gap is open over what has come"
        place += size
    run.wait(100_000)
    first, last = order[0], max(order)
    assert run.open_ids() == {number for number in range(first, last) if number not in came}
    spans = {(gap.from_id, gap.to_id): gap.id for gap in run.gaps}
    assert all(spans[gap.from_id, gap.to_id] == gap.id for gap in run.gaps)
    assert len(set(spans.values())) == len(spans)


def test_the_same_number_much_later_is_a_double_and_no_new_count():
    run = Run()
    run.feed(trade(1, 1), trade(2, 2), trade(2, 2 + RESTARTED // SECOND * 5), trade(3, 400))
    assert run.wait(1_000) == []
    assert MINUTE == RESTARTED


def saved(run: Run) -> int:
    """The bytes that were saved last."""
    return sum(map(len, run.state.last.values()))


def test_holes_are_saved_when_they_change_and_not_with_every_trade():
    run = Run()
    run.feed(trade(0, 1), *(trade(2 * number, 1) for number in range(1, 500)))
    assert saved(run) > 10_000
    run.wait(10)
    run.feed(trade(999, 11))
    assert saved(run) < 200
    run.feed(trade(1, 11))
    assert saved(run) > 10_000


def test_after_a_restart_all_holes_are_known_and_those_told_are_not_told_again():
    run = Run()
    run.feed(trade(0, 1), trade(3, 1), trade(6, 2))
    assert len(run.wait(10)) == 2
    run.feed(trade(9, 12))
    run.restart()
    (late,) = run.wait(30)
    assert (late.from_id, late.to_id) == ("7", "8")
    run.tick(40)  # by now it stands on the bus
    run.restart()
    assert run.wait(60) == []
    (filled, left) = run.feed(trade(1, 61))
    assert (filled.state, left.from_id, left.to_id) == ("filled", "2", "2")


def test_an_exchange_that_counts_anew_leaves_no_hole_behind():
    run = Run()
    run.feed(trade(1_000, 1), trade(1_003, 1))
    run.wait(10)
    run.feed(trade(5, 1 + RESTARTED / SECOND + 1))
    run.restart()
    assert run.feed(trade(1_001, 80)) == []
    assert [(gap.from_id, gap.to_id) for gap in run.wait(100)] == [("6", "1000")]


@pytest.mark.parametrize("wrong", [at(3) // 10, 2 * at(3)])
def test_a_time_that_is_years_away_bounds_no_hole(wrong):
    run = Run()
    odd = [msgspec.structs.replace(trade(number, 3), ts=wrong) for number in (4, 6)]
    holes = [*run.feed(trade(1, 1), *odd, trade(9, 5)), *run.wait(60)]
    assert [(gap.from_id, gap.to_id) for gap in holes] == [("2", "3"), ("5", "5"), ("7", "8")]
    assert all(at(1) <= gap.from_ts <= gap.to_ts <= at(6) for gap in holes)
