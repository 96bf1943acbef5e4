"""Recordings: read, written, damaged, and played through a translator."""

import gzip
import json
import socket
from pathlib import Path
from urllib.parse import urlencode

import pytest

from bus.clock import SECOND, ManualClock
from bus.errors import ExchangeUnavailable, UsageError
from bus.events import Book, Trade
from daemon.config import Config, Exchange
from daemon.exchanges.binance import Binance
from daemon.recorder import record
from daemon.recording import Line, Recording, RecordingWriter, event_to_json, replay, replay_onto

REST = "https://api.binance.com/api/v3"
DEPTH = f"{REST}/depth?symbol=BNBBTC&limit=5000"


def write(path: Path, *lines: str, header: str = '{"recording":1,"exchange":"binance"}') -> Path:
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in (header, *lines)).encode()))
    return path


def ws(t: int, payload: dict) -> Line:
    return Line(t, "ws", "wss://x/stream", json.dumps(payload))


def trade(t: int, identity: int, **changes) -> Line:
    payload = {"e": "trade", "E": 1, "s": "BNBBTC", "t": identity, "p": "2", "q": "3", "T": 5, "m": True}
    return ws(t, payload | changes)


def delta(t: int, first: int, last: int, symbol: str = "BNBBTC") -> Line:
    return ws(t, {"e": "depthUpdate", "E": 1, "s": symbol, "U": first, "u": last, "b": [["1", str(last)]], "a": []})


def book(t: int, last: int, url: str = DEPTH) -> Line:
    return Line(t, "rest", url, json.dumps({"lastUpdateId": last, "bids": [["1", "9"]], "asks": []}))


def played(*lines: Line) -> list[tuple]:
    """(frame, kind, last id) of every book event"""
    return [(f, e.kind, e.last_id) for f, events in replay(lines, Binance()) for e in events if isinstance(e, Book)]


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    lines = [Line(1, "ws", "wss://x", '{"a":"\u00e9\\n"}'), Line(2, "rest", "https://x?y=1", "[]")]
    with RecordingWriter(path, "binance", "a test") as writer:
        for line in lines:
            writer.write(line.t, line.k, line.u, line.d)
    recording = Recording(path)
    assert (recording.header.exchange, recording.header.origin) == ("binance", "a test")
    assert list(recording) == list(recording) == lines


def test_what_was_flushed_survives_a_kill(tmp_path):
    path, copy = tmp_path / "r.jsonl.gz", tmp_path / "killed.jsonl.gz"
    writer = RecordingWriter(path, "binance")
    writer.write(1, "ws", "u", "first")
    writer.flush()
    copy.write_bytes(path.read_bytes())
    writer.close()
    found = []
    with pytest.raises(UsageError, match=r"killed\.jsonl\.gz is cut off or damaged at line 3"):
        found.extend(Recording(copy))
    assert [line.d for line in found] == ["first"]


def test_much_text_is_flushed_without_being_asked(tmp_path):
    writer = RecordingWriter(tmp_path / "r.gz", "binance")
    small = (tmp_path / "r.gz").stat().st_size
    for number in range(40):
        writer.write(number, "ws", "u", f"{number}" * 10_000)
    assert (tmp_path / "r.gz").stat().st_size > small
    assert next(iter(Recording(tmp_path / "r.gz"))).t == 0
    writer.close()


def test_a_recording_never_overwrites_a_file(tmp_path):
    (tmp_path / "r.gz").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        RecordingWriter(tmp_path / "r.gz", "binance")
    with pytest.raises(UsageError, match="cannot write"):
        RecordingWriter(tmp_path / "no" / "r.gz", "binance")


def test_damage_is_named(tmp_path):
    good = '{"t":1,"k":"ws","u":"u","d":"x"}'
    with pytest.raises(UsageError, match="cannot read the recording"):
        Recording(tmp_path / "absent")
    (tmp_path / "plain").write_text("no gzip")
    with pytest.raises(UsageError, match=r"plain is cut off or damaged at line 1|cannot read"):
        Recording(tmp_path / "plain")
    for header in ("", "[]", '{"exchange":"x"}', "\x00"):
        with pytest.raises(UsageError, match="line 1 should be its header"):
            Recording(write(tmp_path / "r", good, header=header))
    with pytest.raises(UsageError, match="version 2"):
        Recording(write(tmp_path / "r", header='{"recording":2,"exchange":"x"}'))
    for bad in ("", "{}", '{"t":1,"k":"tcp","u":"u","d":"x"}', '{"t":"1","k":"ws","u":"u","d":"x"}', "[" * 9999):
        with pytest.raises(UsageError, match="r line 3 is no recorded message"):
            list(Recording(write(tmp_path / "r", good, bad, good)))


def test_every_way_of_cutting_a_file_short_is_noticed(tmp_path):
    whole = write(tmp_path / "r", *(f'{{"t":{n},"k":"ws","u":"u","d":"{n * 7919}"}}' for n in range(50))).read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(UsageError):
            list(Recording(tmp_path / "cut"))


def test_events_carry_the_frame_they_came_with():
    lines = [book(1, 7), delta(2, 5, 8), delta(3, 9, 9)]
    assert played(*lines) == [(0, "snapshot", 7), (0, "delta", 8), (1, "delta", 9)]
    assert played(delta(2, 5, 8), delta(3, 9, 9), book(4, 7)) == [
        (1, "snapshot", 7), (1, "delta", 8), (1, "delta", 9),
    ]  # fmt: skip


def test_of_several_kept_answers_the_newest_is_taken():
    assert played(book(1, 6), book(2, 7), delta(3, 7, 8)) == [(0, "snapshot", 7), (0, "delta", 8)]


def test_an_answer_that_is_too_old_is_used_once_and_the_next_one_awaited():
    lines = [book(1, 2), delta(2, 5, 8), delta(3, 9, 9), book(4, 3), book(5, 6), book(6, 1)]
    assert played(*lines) == [(1, "snapshot", 6), (1, "delta", 8), (1, "delta", 9)]


def test_an_answer_goes_to_the_symbol_it_is_about():
    other = f"{REST}/depth?{urlencode({'symbol': 'ETHBTC', 'limit': 1000})}"
    assert played(delta(1, 5, 8), book(2, 6, other), book(3, 7)) == [(0, "snapshot", 7), (0, "delta", 8)]
    assert played(delta(1, 5, 8), book(2, 6, f"{REST}/ticker?symbol=BNBBTC")) == []


def test_a_break_is_healed_by_the_answer_that_was_recorded_after_it():
    lines = [delta(1, 5, 8), book(2, 7), delta(3, 20, 21), delta(4, 22, 22), book(5, 21), delta(6, 23, 23)]
    assert played(*lines) == [
        (0, "snapshot", 7), (0, "delta", 8), (2, "snapshot", 21), (2, "delta", 22), (3, "delta", 23),
    ]  # fmt: skip


def test_the_instruments_are_read_without_being_asked_for():
    info = {"symbols": [{"symbol": "BNBBTC", "status": "TRADING", "baseAsset": "BN", "quoteAsset": "BBTC"}]}
    lines = [Line(1, "rest", f"{REST}/exchangeInfo?permissions=SPOT", json.dumps(info)), trade(2, 1)]
    ((f, (event,)),) = replay(lines, Binance())
    assert (f, event.symbol, event.source) == (0, "BN/BBTC", "replay")


def test_malformed_frames_are_counted_and_the_replay_goes_on():
    run = replay([trade(1, 1), Line(2, "ws", "u", "garbage"), trade(2, 2, p="NaN"), trade(3, 3)], Binance())
    assert [(f, [event.id for event in events]) for f, events in run] == [(0, ["1"]), (3, ["3"])]
    assert run.malformed == 2
    assert run.reason.startswith("frame 2: ")


def test_a_malformed_answer_is_counted_and_asked_for_again():
    bad = Line(2, "rest", DEPTH, "{}")
    run = replay([delta(1, 5, 8), bad, delta(3, 9, 9), book(4, 7)], Binance())
    assert [(f, len(events)) for f, events in run] == [(1, 3)]
    assert (run.malformed, run.reason[:25]) == (1, "REST answer after frame 0")


def test_receive_times_rise_strictly():
    events = [event for _, events in replay([trade(9, 1), trade(9, 2), trade(4, 3)], Binance()) for event in events]
    assert [event.recv for event in events] == [9, 10, 11]


def test_an_event_as_json_has_every_key():
    event = Trade("binance", "BTC/USDT", None, 2, "replay", "7", "61837.63000000", "0.02", "buy")
    assert event_to_json(event, 4) == (
        '{"f":4,"type":"trade","exchange":"binance","symbol":"BTC/USDT","ts":null,"recv":2,"source":"replay",'
        '"id":"7","price":"61837.63000000","amount":"0.02","side":"buy"}'
    )


class Bus:
    """Takes down what is published and when."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.published: list[tuple[float, str]] = []

    async def publish(self, events) -> None:
        self.published += [(self.clock.monotonic(), event.id) for event in events]


class SteppingClock(ManualClock):
    """A clock on which waiting takes no time but its own."""

    async def sleep(self, seconds: float) -> None:
        self.advance(max(seconds, 0))


@pytest.mark.parametrize(("speed", "times"), [(1, [0, 2, 2, 5]), (10, [0, 0.2, 0.2, 0.5]), (None, [0, 0, 0, 0])])
async def test_a_replay_keeps_the_pace_of_the_frames(speed, times):
    clock = SteppingClock()
    bus = Bus(clock)
    start = 1_000 * SECOND
    info = Line(1, "rest", f"{REST}/exchangeInfo", '{"symbols":[]}')  # recorded years before
    lines = [info, *(trade(start + t * SECOND, n) for n, t in enumerate([0, 2, 2, 5]))]
    run = await replay_onto(bus, lines, Binance(), speed, clock)
    assert bus.published == [(pytest.approx(time), str(n)) for n, time in enumerate(times)]
    assert run.frame == 3


async def test_where_nothing_came_no_recording_is_left(tmp_path: Path):
    with socket.socket() as nobody:  # bound and not listening: connecting is refused
        nobody.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{nobody.getsockname()[1]}"
        endpoints = {"rest": f"http://{url}", "websocket": f"ws://{url}"}
        config = Config(exchanges=[Exchange(name="binance", endpoints=endpoints)])
        with pytest.raises(ExchangeUnavailable, match="binance could not be reached"):
            await record(config, "binance", ["BTC/USDT"], ["trade"], tmp_path / "r.jsonl.gz", 0.2)
    assert not list(tmp_path.iterdir())
