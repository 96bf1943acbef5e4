"""The spool: first in first out over restarts, within its bound, and honest about damage."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.redis import spool
from bus.redis.spool import Spool
from tests.bus.helpers import numbers, trades


def drain(kept: Spool) -> list[int]:
    found = []
    while (segment := kept.take()) is not None:
        found += numbers(segment.events)
        kept.done()
    return found


@given(st.lists(st.one_of(st.integers(1, 1_500), st.just("take"), st.just("restart")), max_size=20))
def test_everything_comes_back_once_and_in_order(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("spool")
    kept, sent, found = Spool(folder, 10**9), 0, []
    for step in steps:
        if step == "take":
            if (segment := kept.take()) is not None:
                found += numbers(segment.events)
            kept.done()
        elif step == "restart":
            kept.close()
            kept = Spool(folder, 10**9)
        else:
            kept.put(trades(sent, sent + step))
            sent += step
    found += drain(kept)
    assert found == list(range(sent))
    assert kept.empty
    kept.close()


def test_what_was_taken_and_not_done_comes_again_and_what_was_put_first_comes_before(tmp_path: Path):
    kept = Spool(tmp_path, 10**9)
    kept.put(trades(10, 20))
    segment = kept.take()
    assert segment is not None
    assert not segment.inherited
    kept.put(trades(20, 30))
    kept.put_first(trades(5, 20))
    kept.close()
    again = Spool(tmp_path, 10**9)
    found = []
    while (segment := again.take()) is not None:
        assert segment.inherited
        found.append(numbers(segment.events))
        again.done()
    assert found == [list(range(5, 20)), list(range(10, 20)), list(range(20, 30))]
    again.put(trades(30, 31))
    segment = again.take()
    assert segment is not None
    assert not segment.inherited
    again.close()


def test_the_oldest_are_given_up_beyond_the_bound(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 10_000)
    kept = Spool(tmp_path, 50_000)
    for start in range(0, 5_000, 100):
        kept.put(trades(start, start + 100))
    (newest,) = kept.dropped()
    assert kept.dropped() == []
    found = drain(kept)
    assert found == list(range(newest.recv + 1, 5_000))
    assert len(found) > 200
    kept.close()


@pytest.mark.parametrize("where", ["checksum", "payload", "tail"])
def test_damage_costs_what_it_damaged_and_what_follows_in_that_file(tmp_path: Path, where):
    kept = Spool(tmp_path, 10**9)
    for start in (0, 10, 20):
        kept.put(trades(start, start + 10))
    kept.close()
    (file,) = (tmp_path / "0").glob("*.spool")
    data = bytearray(file.read_bytes())
    third = len(data) // 3
    if where == "tail":
        del data[-5:]
    else:
        data[third + (6 if where == "checksum" else 60)] ^= 1
    file.write_bytes(data)
    again = Spool(tmp_path, 10**9)
    assert drain(again) == list(range(20 if where == "tail" else 10))
    again.close()


def test_two_processes_have_folders_of_their_own(tmp_path: Path):
    one, other = Spool(tmp_path, 10**9), Spool(tmp_path, 10**9)
    one.put(trades(0, 5))
    other.put(trades(5, 10))
    assert [drain(other), drain(one)] == [list(range(5, 10)), list(range(5))]
    one.close()
    other.close()


def test_a_full_disk_is_said_and_leaves_whole_records(tmp_path: Path):
    kept = Spool(tmp_path, 10**9)
    kept.put(trades(0, 5))
    room = kept._open
    with Path("/dev/full").open("ab", buffering=0) as full:
        kept._open = full
        with pytest.raises(OSError):  # noqa: PT011 # the system's own words
            kept.put(trades(5, 10))
    kept._open = room
    kept.put(trades(10, 12))
    assert drain(kept) == [0, 1, 2, 3, 4, 10, 11]
    kept.close()
