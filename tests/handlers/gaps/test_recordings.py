"""Real frames: nothing is missing in the recordings, and what is taken out of them is found to the id."""

from pathlib import Path
from random import Random

import pytest
from gap_run import T0, Run

from bus.clock import SECOND
from bus.events import AnyMarketEvent, Book, Trade
from daemon.exchanges import load
from daemon.recording import Recording, replay


def play(recordings: Path, name: str) -> list[AnyMarketEvent]:
    return [e for _, some in replay(Recording(recordings / f"{name}.jsonl.gz"), load("binance")()) for e in some]


def feed(events: list[AnyMarketEvent], random: Random) -> Run:
    """Batches of any size, now and then a crash."""
    run = Run()
    place = 0
    while place < len(events):
        size = random.choice([1, 40, 700, 3_000])
        random.choice([run.feed, run.feed, run.crash_on])(*events[place : place + size])
        place += size
    run.wait((events[-1].recv - T0) / SECOND + 100)
    return run


@pytest.mark.parametrize("name", ["binance_2021", "binance_btcusdt_20240808", "binance_ethusdt_20240808"])
def test_nothing_is_missing(recordings, name: str):
    assert feed(play(recordings, name), Random(1)).gaps == []


@pytest.mark.parametrize("name", ["binance_btcusdt_20240808", "binance_ethusdt_20240808"])
def test_what_is_taken_out_is_found_exactly(recordings, name: str):
    random = Random(2)
    events = play(recordings, name)
    taken = [event for event in events[100:-100] if random.random() < 0.01]
    gone = set(map(id, taken))
    left = [event for event in events if id(event) not in gone]
    found = feed(left, random).ledger.values()
    missing = {
        (gap.symbol, gap.channel, number)
        for gap in found
        for number in range(int(gap.from_id or 0), int(gap.to_id or 0) + 1)
    }
    trades = {(event.symbol, "trade", int(event.id)) for event in taken if type(event) is Trade}
    books = [event for event in taken if type(event) is Book and event.kind == "delta"]
    changes = {(book.symbol, "book", n) for book in books for n in range(book.first_id or 0, (book.last_id or 0) + 1)}
    assert trades
    assert changes
    assert missing == trades | changes
