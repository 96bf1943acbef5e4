"""Recordings with injected breaks: each is found at once, one book alone starts anew, no trade is lost or doubled."""

import random
from collections import defaultdict

import pytest

from bus.book import BookBuilder
from bus.events import Book, Trade
from daemon.exchanges import load
from daemon.recording import Recording

URL = {"bybit": "wss://stream.bybit.com/v5/public/linear", "okx": "wss://ws.okx.com:8443/ws/v5/public"}
SNAPSHOT, CHANGE = '"snapshot"', {"bybit": '"type":"delta"', "okx": '"action":"update"'}


@pytest.fixture(params=["bybit", "okx"])
def traffic(request, recordings):
    """(a translator with two connections that knows its symbols, the frames of the recording)"""
    translator = load(request.param)("replay")
    lines = list(Recording(recordings / f"{request.param}_current_api.jsonl.gz"))
    for asked in translator.instruments_requests():
        key, value = next(iter(asked.params.items()))
        line = next((line for line in lines if line.k == "rest" and f"{key}={value}" in line.u), None)
        if line is not None:
            translator.answer(asked, line.d, 1)
    for connection in (1, 2):
        translator.connected(connection, URL[request.param])
    return translator, [line.d for line in lines if line.k == "ws"]


def is_change(translator, frame: str) -> bool:
    return CHANGE[translator.name] in frame[:200]


def is_snapshot(frame: str) -> bool:
    return "book" in frame[:40] and SNAPSHOT in frame[:200]


def snapshot(translator, symbol: str, book: BookBuilder) -> str:
    """What the exchange answers to a new subscription: its own book, in the form of its snapshots."""
    native = translator.instruments[symbol].native
    bids, asks = ([list(level) for level in side(10_000)] for side in (book.bids, book.asks))
    if translator.name == "bybit":
        from bybit_payloads import frame  # noqa: PLC0415 # each has its own

        return frame(f"orderbook.50.{native}", {"s": native, "b": bids, "a": asks, "u": book.last_id})
    from okx_payloads import frame  # noqa: PLC0415 # each has its own

    bids, asks = ([[*level, "0", "1"] for level in side] for side in (bids, asks))
    item = {"bids": bids, "asks": asks, "ts": "1652459225464", "prevSeqId": -1, "seqId": book.last_id}
    return frame("books", [item], native, action="snapshot")


def twin_of(translator):
    """Another one of the same knowledge, with a connection of its own."""
    twin = load(translator.name)("replay")
    twin._listings, twin._natives = translator._listings, translator._natives
    twin.connected(1, URL[translator.name])
    return twin


class Follower:
    """Reads with one translator, and keeps the books that its events make; broken ones must be silent."""

    def __init__(self, translator) -> None:
        self.translator = translator
        self.books = defaultdict(BookBuilder)
        self.broken = set()

    def read(self, frame: str, recv: int) -> int:
        events = [event for event in self.translator.parse(frame, recv, 1) if isinstance(event, Book)]
        for event in events:
            assert event.kind == "snapshot" or event.symbol not in self.broken
            assert self.books[event.symbol].apply(event)
            self.broken.discard(event.symbol)
        for notice in self.translator.notices:
            assert notice.kind == "resync"
            self.broken |= {feed.symbol for feed in notice.feeds}
        self.translator.notices.clear()
        return len(events)


def test_dropped_deltas_cost_one_book_until_its_snapshot(traffic):
    translator, frames = traffic
    ours, truth, chance = Follower(translator), Follower(twin_of(translator)), random.Random(7)
    dropped = healed = 0
    for recv, frame in enumerate(frames):
        truth.read(frame, recv)
        if is_change(translator, frame) and chance.random() < 0.02:
            dropped += 1
            continue
        ours.read(frame, recv)
        if ours.broken and chance.random() < 0.3:
            symbol = min(ours.broken)
            healed += ours.read(snapshot(translator, symbol, truth.books[symbol]), recv)
    assert not truth.broken
    equal = [symbol for symbol, book in ours.books.items() if book.last_id == truth.books[symbol].last_id]
    assert equal
    for symbol in equal:
        book, true = ours.books[symbol], truth.books[symbol]
        assert (book.bids(50), book.asks(50)) == (true.bids(50), true.asks(50))
    assert dropped > 3
    assert 0 < healed <= translator.resyncs <= dropped


def test_two_overlapping_connections_publish_everything_once(traffic):
    translator, frames = traffic
    twin = twin_of(translator)
    single = [event for count, frame in enumerate(frames) for event in twin.parse(frame, count, 1)]
    double = []
    for count, frame in enumerate(frames):
        for connection in (1, 2):
            double += translator.parse(frame, count, connection)
    assert not translator.notices
    assert [e for e in double if isinstance(e, Trade)] == [e for e in single if isinstance(e, Trade)]
    deltas = [e for e in double if isinstance(e, Book) and e.kind == "delta"]
    assert deltas == [e for e in single if isinstance(e, Book) and e.kind == "delta"]
    assert [e for e in double if not isinstance(e, Book)] == [e for e in single if not isinstance(e, Book)]


def test_reordered_deltas_break_their_books(traffic):
    translator, frames = traffic
    snapshots = [frame for frame in frames if is_snapshot(frame)]
    for count, frame in enumerate(snapshots):
        translator.parse(frame, count, 1)
    changes = [frame for frame in frames if is_change(translator, frame)]
    books = defaultdict(BookBuilder)
    for count, frame in enumerate(reversed(changes)):
        for event in translator.parse(frame, count, 1):
            books[event.symbol].apply(event)
    assert translator.resyncs == len(translator.notices) == len({n.feeds for n in translator.notices}) > 0
