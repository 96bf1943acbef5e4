"""The Bybit recording gives the events of its golden file, value for value."""

import gzip
from collections import Counter, defaultdict
from decimal import Decimal

import msgspec
import pytest

from bus.book import BookBuilder
from bus.events import Book, Trade
from daemon.exchanges.bybit import Bybit
from daemon.recording import Recording, replay


@pytest.fixture(scope="module")
def played(recordings):
    """(golden lines, events by frame, the finished pass)"""
    with gzip.open(recordings / "golden" / "bybit_current_api.golden.jsonl.gz") as file:
        golden = [msgspec.json.decode(line) for line in file]
    run = replay(Recording(recordings / "bybit_current_api.jsonl.gz"), Bybit())
    events = defaultdict(list)
    for f, batch in run:
        events[f] += batch
    return golden, events, run


def test_trades(played):
    golden, events, _ = played
    lines = [line for line in golden if line["channel"] == "trade"]
    ours = [(f, event) for f in sorted(events) for event in events[f] if isinstance(event, Trade)]
    assert len(lines) > 200
    for line, (f, event) in zip(lines, ours, strict=True):
        assert (f, Decimal(event.price), Decimal(event.amount)) == (
            line["f"], Decimal(line["price"]), Decimal(line["amount"]),
        )  # fmt: skip
        assert [getattr(event, name) for name in ("symbol", "ts", "id", "side")] == [
            line[name] for name in ("symbol", "ts", "id", "side")
        ]
        assert event.source == "replay"


def test_books(played):
    golden, events, _ = played
    lines = {line["f"]: line for line in golden if line["channel"] == "book"}
    books: defaultdict[str, BookBuilder] = defaultdict(BookBuilder)
    found = 0
    for f in sorted(events):
        for event in events[f]:
            if not isinstance(event, Book):
                continue
            line, book, found = lines[f], books[event.symbol], found + 1
            assert book.apply(event)
            assert (event.symbol, event.ts, book.last_id) == (line["symbol"], line["ts"], line["seq"])
            for side, ours in (("bids", book.bids(5)), ("asks", book.asks(5))):
                assert [tuple(map(Decimal, level)) for level in ours] == [
                    tuple(map(Decimal, level)) for level in line[side]
                ]
            assert book.depth == (line["nb"], line["na"])
    assert found == len(lines) > 4000


def test_nothing_is_malformed_dropped_or_resynchronised(played):
    _, events, run = played
    assert (run.malformed, run.reason) == (0, "")
    assert (run._exchange.resyncs, run._exchange.duplicates) == (0, Counter())
    assert not run._exchange.requests
    assert len(events) == run.frame + 1  # every frame is data
