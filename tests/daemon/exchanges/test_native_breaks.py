"""Recordings with injected breaks: each is found at once, one book alone starts anew, no trade is lost or doubled.

A message that Coinbase loses breaks all books, since its number does not say which one it was about. Kraken's checksum
covers the ten best levels of each side: what is lost beneath them shows when it comes up.
"""

import random
import re
from collections import defaultdict
from itertools import count

import bybit_payloads
import coinbase_payloads
import kraken_payloads
import okx_payloads
import pytest

from bus.book import BookBuilder
from bus.events import Book, Trade
from daemon.exchanges import load
from daemon.recording import Recording

URL = {
    "bybit": "wss://stream.bybit.com/v5/public/linear",
    "coinbase": "wss://advanced-trade-ws.coinbase.com",
    "kraken": "wss://ws.kraken.com/v2",
    "okx": "wss://ws.okx.com:8443/ws/v5/public",
}
CHANGE = {
    "bybit": b'"type":"delta"',
    "coinbase": b'"type":"update","product_id"',
    "kraken": b'"book","type":"update"',
    "okx": b'"action":"update"',
}
COMPARED = {"bybit": 50, "coinbase": 10_000, "kraken": 10, "okx": 400}
"""Best levels of each side that can be relied on after a message was lost."""


def reader(name: str, lines):
    """A translator with two connections that knows the recording's symbols."""
    translator = load(name)("replay")
    for asked in translator.instruments_requests():
        wanted = [asked.path, *(f"{key}={value}" for key, value in asked.params.items() if key != "limit")]
        line = next((line for line in lines if line.k == "rest" and all(part in line.u for part in wanted)), None)
        if line is not None:
            translator.answer(asked, line.d, 1)
    for connection in (1, 2):
        translator.connected(connection, URL[name])
    return translator


@pytest.fixture(params=sorted(URL))
def traffic(request, recordings):
    """(a translator, another one of the same knowledge, the frames of the recording)"""
    lines = list(Recording(recordings / f"{request.param}_current_api.jsonl.gz"))
    frames = [line.d.encode() for line in lines if line.k == "ws"]
    return reader(request.param, lines), reader(request.param, lines), frames


def is_change(translator, frame: bytes) -> bool:
    return CHANGE[translator.name] in frame[:200]


def is_snapshot(frame: bytes) -> bool:
    return (b"book" in frame[:40] or b"l2_data" in frame[:40]) and b'"snapshot"' in frame[:200]


def numbered(frame: bytes, numbers) -> bytes:
    """A frame as its exchange sends it next: Coinbase counts all messages of a connection."""
    return re.sub(rb'"sequence_num":\d+', lambda _: b'"sequence_num":%d' % next(numbers), frame, count=1)


def snapshot(translator, symbol: str, book: BookBuilder) -> bytes:
    """What the exchange answers to a new subscription: its own book, in the form of its snapshots."""
    bids, asks = (side(10_000) for side in (book.bids, book.asks))
    match translator.name:
        case "coinbase":
            return coinbase_payloads.book(0, bids, asks, "snapshot", symbol.replace("/", "-"))
        case "kraken":
            native = translator.instruments[symbol].native
            return kraken_payloads.book(bids, asks, kraken_payloads.checksum(bids, asks), "snapshot", native)
    native = translator.instruments[symbol].native
    bids, asks = ([list(level) for level in side] for side in (bids, asks))
    if translator.name == "bybit":
        found = {"s": native, "b": bids, "a": asks, "u": book.last_id}
        return bybit_payloads.frame(f"orderbook.50.{native}", found)
    bids, asks = ([[*level, "0", "1"] for level in side] for side in (bids, asks))
    item = {"bids": bids, "asks": asks, "ts": "1652459225464", "prevSeqId": -1, "seqId": book.last_id}
    return okx_payloads.frame("books", [item], native, action="snapshot")


class Follower:
    """Reads with one translator, and keeps the books that its events make; broken ones must be silent."""

    def __init__(self, translator) -> None:
        self.translator = translator
        self.books = defaultdict(BookBuilder)
        self.broken = set()
        self.breaks = 0

    def read(self, frame: bytes, recv: int) -> set[str]:
        """The symbols whose books the frame has changed."""
        events = [event for event in self.translator.parse(frame, recv, 1) if isinstance(event, Book)]
        for event in events:
            assert event.kind == "snapshot" or event.symbol not in self.broken
            assert self.books[event.symbol].apply(event)
            self.broken.discard(event.symbol)
        for notice in self.translator.notices:
            if notice.kind != "control":
                assert notice.kind == "resync"
                self.broken |= {feed.symbol for feed in notice.feeds}
                self.breaks += 1
        self.translator.notices.clear()
        return {event.symbol for event in events}


def test_dropped_deltas_cost_one_book_until_its_snapshot(traffic):
    translator, twin, frames = traffic
    ours, truth, chance, numbers = Follower(translator), Follower(twin), random.Random(7), count()
    dropped = healed = 0
    behind: set[str] = set()
    for recv, frame in enumerate(frames):
        changed, sent = truth.read(frame, recv), numbered(frame, numbers)
        if is_change(translator, frame) and chance.random() < 0.02:
            dropped += 1
            behind |= changed
            continue
        behind -= changed
        ours.read(sent, recv)
        if ours.broken and chance.random() < 0.3:
            symbol = min(ours.broken)
            healed += len(ours.read(numbered(snapshot(translator, symbol, truth.books[symbol]), numbers), recv))
            behind.discard(symbol)
    assert not truth.broken
    whole = ours.books.keys() - ours.broken - behind
    assert whole
    for symbol in whole:
        book, true, levels = ours.books[symbol], truth.books[symbol], COMPARED[translator.name]
        assert (book.bids(levels), book.asks(levels)) == (true.bids(levels), true.asks(levels))
    assert dropped > 3
    assert 0 < ours.breaks <= dropped
    assert 0 < healed <= translator.resyncs


def test_two_overlapping_connections_publish_everything_once(traffic):
    translator, twin, frames = traffic
    single = [event for recv, frame in enumerate(frames) for event in twin.parse(frame, recv, 1)]
    double = []
    for recv, frame in enumerate(frames):
        for connection in (1, 2):
            double += translator.parse(frame, recv, connection)
    assert not [notice for notice in translator.notices if notice.kind != "control"]
    assert [e for e in double if isinstance(e, Trade)] == [e for e in single if isinstance(e, Trade)]
    deltas = [e for e in double if isinstance(e, Book) and e.kind == "delta"]
    assert deltas == [e for e in single if isinstance(e, Book) and e.kind == "delta"]
    assert [e for e in double if not isinstance(e, Book)] == [e for e in single if not isinstance(e, Book)]


def test_reordered_deltas_break_their_books(traffic):
    translator, _, frames = traffic
    for recv, frame in enumerate(frame for frame in frames if is_snapshot(frame)):
        translator.parse(frame, recv, 1)
    books = defaultdict(BookBuilder)
    for recv, frame in enumerate(reversed([frame for frame in frames if is_change(translator, frame)])):
        for event in translator.parse(frame, recv, 1):
            books[event.symbol].apply(event)
    feeds = [feed for notice in translator.notices for feed in notice.feeds]
    assert translator.resyncs == len(feeds) == len(set(feeds)) > 0
