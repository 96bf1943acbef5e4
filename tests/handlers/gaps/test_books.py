"""Order books: a delta that does not follow is an unfillable gap of its symbol alone."""

from gap_run import BTC, Run, at, delta, snapshot
from hypothesis import given
from hypothesis import strategies as st

from bus.book import BookBuilder
from bus.events import Book


def spans(run: Run) -> list[tuple[str | None, str | None]]:
    return [(gap.from_id, gap.to_id) for gap in run.ledger.values()]


def test_missed_changes_are_an_unfillable_gap_of_that_symbol_alone():
    run = Run()
    assert run.feed(snapshot(10), delta(11, 12, 1), delta(13, 15, 2), delta(9, 9, symbol="ETH/USDT")) == []
    (gap,) = run.feed(snapshot(30, 5))
    assert (gap.symbol, gap.channel, gap.state) == ("BTC/USDT", "book", "unfillable")
    assert (gap.from_id, gap.to_id) == ("16", "30")
    assert (gap.from_ts, gap.to_ts) == (at(2), at(5))
    assert run.feed(delta(29, 31, 6), delta(32, 32, 7)) == []
    (gap,) = run.feed(delta(35, 36, 8))
    assert (gap.from_id, gap.to_id) == ("33", "34")


def test_snapshots_alone_have_no_changes_to_miss():
    run = Run()
    run.feed(snapshot(10), snapshot(20, 1), snapshot(30, 2))
    assert run.gaps == []


def test_prev_id_decides_where_there_is_one():
    """Binance USD-M: first_id does not follow the last last_id, prev_id does."""
    run = Run()
    run.feed(snapshot(100), delta(95, 110, 1, prev=94), delta(115, 120, 2, prev=110), delta(131, 140, 3, prev=120))
    assert run.gaps == []
    (gap,) = run.feed(delta(160, 170, 4, prev=150))
    assert (gap.from_id, gap.to_id) == ("141", "150")


def test_prev_id_is_enough_without_first_id():
    """OKX: seqId and prevSeqId alone; after maintenance seqId begins lower while prevSeqId goes on."""
    run = Run()
    run.feed(snapshot(10), delta(None, 15, 1, prev=10), delta(None, 3, 2, prev=15), delta(None, 7, 3, prev=3))
    assert run.gaps == []
    (gap,) = run.feed(delta(None, 12, 4, prev=9))
    assert (gap.from_id, gap.to_id) == ("8", "9")


def test_an_exchange_that_counts_anew_is_followed_from_there():
    run = Run()
    run.feed(snapshot(1_000), delta(1_001, 1_001, 1), snapshot(1, 100), delta(2, 2, 101), delta(5, 5, 102))
    assert spans(run) == [(None, None), ("3", "4")]


def test_counting_anew_is_itself_a_gap_and_breaks_are_found_from_its_first_snapshot_on():
    run = Run()
    run.feed(snapshot(1_000), delta(1_001, 1_001, 1))
    (gap,) = run.feed(snapshot(60, 3))
    assert (gap.from_id, gap.to_id, gap.state) == (None, None, "unfillable")
    assert (gap.from_ts, gap.to_ts) == (at(1), at(3))
    assert "anew" in gap.reason
    (gap,) = run.feed(delta(61, 61, 3.1), snapshot(70, 4))
    assert (gap.from_id, gap.to_id, gap.from_ts, gap.to_ts) == ("62", "70", at(3.1), at(4))


def test_a_snapshot_a_little_older_than_the_book_is_no_gap():
    """REST may answer with a state from before the last message; a process that takes over may begin with one."""
    run = Run()
    assert run.feed(snapshot(10), delta(11, 20, 1), snapshot(18, 1.2), delta(19, 19, 1.3), delta(20, 21, 1.4)) == []
    earlier = Book("binance", BTC, at(1), at(1), "ws", "snapshot", [], [], None, 15)
    assert run.feed(earlier, delta(16, 22, 1.5)) == []


def test_one_message_from_the_future_hides_no_later_gap():
    run = Run()
    run.feed(snapshot(10), delta(11, 11, 1), delta(12, 12, 301), delta(13, 13, 1.2))
    (gap,) = run.feed(snapshot(90, 11))
    assert (gap.from_ts, gap.to_ts) == (at(1.2), at(11))
    run.feed(delta(91, 91, 311))
    (gap,) = run.feed(snapshot(95, 12))
    assert (gap.from_ts, gap.to_ts) == (at(12), at(12))


def test_delivered_again_after_a_restart_nothing_new_is_found():
    run = Run()
    events = [snapshot(10), delta(11, 12, 1), delta(15, 16, 2), snapshot(20, 3), delta(21, 21, 4)]
    run.feed(*events)
    found = dict(run.ledger)
    assert spans(run) == [("13", "14"), ("17", "20")]
    run.restart()
    run.feed(*events)
    assert run.ledger == found
    run.feed(delta(22, 22, 5))
    assert run.ledger == found


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=40), st.data())
def test_the_missing_ids_are_those_that_no_delta_covers(steps: list[tuple[int, int, bool]], data: st.DataObject):
    """Steps: ids skipped, ids covered, and whether the event comes over both connections."""
    events: list[Book] = [snapshot(100), delta(101, 101, 0.5)]
    last, missing = 101, set()
    for place, (skipped, covered, twice) in enumerate(steps):
        missing |= set(range(last + 1, last + 1 + skipped))
        event = delta(last + 1 + skipped, last + skipped + covered, place + 1)
        events += [event, event] if twice else [event]
        last += skipped + covered
    run = Run()
    place = 0
    while place < len(events):
        size = data.draw(st.integers(1, 9))
        data.draw(st.sampled_from([run.feed, run.crash_on, run.fail_to_save]))(*events[place : place + size])
        place += size
    assert {n for first, end in spans(run) for n in range(int(first or 0), int(end or 0) + 1)} == missing
    builder = BookBuilder()
    in_sync = [builder.apply(event) for event in events]
    assert all(in_sync) == (not missing)
