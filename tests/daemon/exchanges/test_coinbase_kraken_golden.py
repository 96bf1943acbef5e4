"""The recordings of Coinbase and Kraken give the events of their golden files, value for value.

Every sequence number and every checksum in them holds.
"""

import gzip
from collections import Counter, defaultdict
from decimal import Decimal

import msgspec
import pytest

from bus.book import BookBuilder
from bus.events import Book, Ticker, Trade
from daemon.exchanges import load
from daemon.recording import Recording, replay


@pytest.fixture(scope="module", params=["coinbase", "kraken"])
def played(request, recordings):
    """(golden lines, events by frame, the finished pass)"""
    with gzip.open(recordings / "golden" / f"{request.param}_current_api.golden.jsonl.gz") as file:
        golden = [msgspec.json.decode(line) for line in file]
    run = replay(Recording(recordings / f"{request.param}_current_api.jsonl.gz"), load(request.param)())
    events = defaultdict(list)
    for f, batch in run:
        events[f] += batch
    return golden, events, run


def pairs(golden, events, channel: str, kind: type):
    """Golden lines of a channel with our events of the same frame, which must be as many."""
    lines = [line for line in golden if line["channel"] == channel]
    ours = [(f, event) for f in sorted(events) for event in events[f] if isinstance(event, kind)]
    assert [f for f, _ in ours] == [line["f"] for line in lines]
    assert lines
    return zip(lines, (event for _, event in ours), strict=True)


def test_tickers(played):
    golden, events, _ = played
    for line, event in pairs(golden, events, "ticker", Ticker):
        assert (event.symbol, event.ts, event.bid, event.ask, event.source) == (
            line["symbol"], line["ts"], line["bid"], line["ask"], "replay",
        )  # fmt: skip


def test_trades(played):
    golden, events, _ = played
    for line, e in pairs(golden, events, "trade", Trade):
        names = ("symbol", "ts", "side", "price", "amount", "id")
        assert [getattr(e, name) for name in names] == [line[name] for name in names]


def test_books(played):
    golden, events, _ = played
    books: defaultdict[str, BookBuilder] = defaultdict(BookBuilder)
    for line, event in pairs(golden, events, "book", Book):
        book = books[event.symbol]
        assert book.apply(event)
        assert not book.crossed
        assert (event.symbol, event.ts) == (line["symbol"], line["ts"])
        for side, ours in (("bids", book.bids(5)), ("asks", book.asks(5))):
            assert [tuple(map(Decimal, level)) for level in ours] == [
                tuple(map(Decimal, level)) for level in line[side]
            ], line


def test_nothing_is_malformed_dropped_or_resynchronised(played):
    _, events, run = played
    exchange = run._exchange
    assert (run.malformed, exchange.resyncs, exchange.duplicates) == (0, 0, Counter())
    assert not exchange.requests
    recvs = [event.recv for f in sorted(events) for event in events[f]]
    assert recvs == sorted(recvs)


def test_krakens_list_of_pairs_names_those_of_the_stream(recordings):
    run = replay(Recording(recordings / "kraken_current_api.jsonl.gz"), load("kraken")())
    symbols = {event.symbol for _, batch in run for event in batch}
    instruments = run._exchange.instruments
    assert symbols <= set(instruments)
    bitcoin = instruments["BTC/USD"]
    assert (bitcoin.native, bitcoin.base, bitcoin.quote, bitcoin.kind) == ("BTC/USD", "BTC", "USD", "spot")
    assert (bitcoin.tick_size, bitcoin.lot_size, bitcoin.active) == ("0.1", "0.00000001", True)
    assert instruments["DOGE/USD"].native == "DOGE/USD"
