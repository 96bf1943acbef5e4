"""Recordings with injected breaks: the break is found, one symbol alone starts anew, no trade is dropped wrongly."""

import json
import random
from collections import defaultdict
from decimal import Decimal

import msgspec
import pytest

from bus.book import BookBuilder
from bus.events import Book, Trade
from daemon.exchanges.base import FeedKey
from daemon.exchanges.binance import Binance
from daemon.recording import Recording

FRAMES = 6_000
NATIVE = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}


@pytest.fixture(scope="module")
def traffic(recordings):
    """BTC and ETH of one evening in one stream of frames, as one connection would carry them; and their snapshots."""
    lines, snapshots = [], {}
    for name in ("binance_btcusdt_20240808", "binance_ethusdt_20240808"):
        for count, line in enumerate(Recording(recordings / f"{name}.jsonl.gz")):
            if "/depth?" in line.u:
                snapshots[name[8:15].upper()] = line.d
            elif line.k == "ws":
                lines.append((line.t, line.d.encode()))
            if count == FRAMES:
                break
    return [frame for _, frame in sorted(lines)], snapshots


class Venue:
    """The exchange's side: the true books, which answer snapshot requests."""

    def __init__(self, snapshots: dict[str, str]) -> None:
        self.books = {native: BookBuilder() for native in snapshots}
        for native, text in snapshots.items():
            answer = json.loads(text)
            levels = [[tuple(level) for level in answer[side]] for side in ("bids", "asks")]
            self.books[native].apply(
                Book("v", native, None, 0, "rest", "snapshot", *levels, last_id=answer["lastUpdateId"])
            )

    def sees(self, frame: bytes) -> None:
        if b"@depth" in frame:
            data = json.loads(frame)["data"]
            sides = [[tuple(level) for level in data[side]] for side in "ba"]
            self.books[data["s"]].apply(Book("v", data["s"], None, 0, "ws", "delta", *sides, data["U"], data["u"]))

    def answer(self, native: str) -> bytes:
        book = self.books[native]
        return msgspec.json.encode({"lastUpdateId": book.last_id, "bids": book.bids(5000), "asks": book.asks(5000)})


def broken(frames: list[bytes], stream: str, chance: random.Random, kind: str) -> list[tuple[bytes, bytes | None]]:
    """(the true frame, what arrives instead) with about one in 40 frames of a stream dropped, doubled or late."""
    out: list[tuple[bytes, bytes | None]] = []
    held: bytes | None = None
    for frame in frames:
        mine = f'"{stream}"'.encode() in frame
        hit = mine and chance.random() < 1 / 40
        if held is not None and mine:
            out += [(frame, frame), (b"", held)]
            held = None
        elif hit and kind == "drop":
            out.append((frame, None))
        elif hit and kind == "double":
            out += [(frame, frame), (b"", frame)]
        elif hit and kind == "late":
            held = frame
            out.append((frame, None))
        else:
            out.append((frame, frame))
    return out


def run(arrivals, snapshots):
    """Play the arrivals; snapshots are answered three frames after they were asked for, from the true books."""
    exchange, venue = Binance(), Venue(snapshots)
    events, asked, waiting = [], defaultdict(int), []
    for recv, (true, arrives) in enumerate(arrivals):
        if true:
            venue.sees(true)
        if arrives is not None:
            events += exchange.parse(arrives, recv)
        while exchange.requests:
            request = exchange.requests.popleft()
            asked[request.params["symbol"]] += 1
            waiting.append((recv + 3, request))
        while waiting and waiting[0][0] <= recv:
            _, request = waiting.pop(0)
            events += exchange.answer(request, venue.answer(request.params["symbol"]), recv)
    return exchange, venue, events, asked


def check_books(venue, events, *, breaks: set[str]) -> dict[str, int]:
    """Follow the published books: apart from snapshots they never break, and they end where the venue's stand."""
    books, snapshots = defaultdict(BookBuilder), defaultdict(int)
    for event in events:
        if isinstance(event, Book):
            snapshots[event.symbol] += event.kind == "snapshot"
            assert books[event.symbol].apply(event)
    for native, symbol in NATIVE.items():
        if native not in breaks:
            assert snapshots[symbol] == 1
        if books[symbol].last_id == venue.books[native].last_id:
            assert numbers(books[symbol].bids(20)) == numbers(venue.books[native].bids(20))
            assert numbers(books[symbol].asks(20)) == numbers(venue.books[native].asks(20))
        else:
            assert native in breaks
    return snapshots


def numbers(levels):
    return [tuple(map(Decimal, level)) for level in levels]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["drop", "late"])
def test_a_missing_or_late_delta_resynchronises_that_symbol_alone(traffic, seed, kind):
    frames, snapshots = traffic
    exchange, venue, events, asked = run(
        broken(frames, "btcusdt@depth@100ms", random.Random(seed), kind), snapshots
    )  # fmt: skip
    taken = check_books(venue, events, breaks={"BTCUSDT"})
    assert exchange.resyncs >= 2
    assert taken["BTC/USDT"] in (exchange.resyncs, exchange.resyncs + 1)
    assert asked["BTCUSDT"] >= exchange.resyncs
    assert asked["ETHUSDT"] == 1


def test_a_doubled_delta_is_dropped(traffic):
    frames, snapshots = traffic
    exchange, venue, events, _ = run(broken(frames, "btcusdt@depth@100ms", random.Random(5), "double"), snapshots)
    check_books(venue, events, breaks=set())
    assert exchange.resyncs == 0
    assert exchange.duplicates["book"] > 5


def true_trades(frames):
    return [str(json.loads(frame)["data"]["t"]) for frame in frames if b"btcusdt@trade" in frame]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["drop", "double", "late"])
def test_every_trade_that_arrives_is_published_exactly_once(traffic, seed, kind):
    frames, snapshots = traffic
    arrivals = broken(frames, "btcusdt@trade", random.Random(seed), kind)
    _, _, events, _ = run(arrivals, snapshots)
    published = [event.id for event in events if isinstance(event, Trade) and event.symbol == "BTC/USDT"]
    arrived = true_trades([frame for _, frame in arrivals if frame is not None])
    assert sorted(published) == sorted(set(arrived))
    if kind == "double":
        assert len(arrived) > len(published)
    else:
        assert (sorted(published) != true_trades(frames)) == (kind == "drop")


@pytest.mark.parametrize("offset", [1, 7, 40])
def test_two_connections_in_parallel_publish_what_one_does(traffic, offset):
    """The planned reconnection before 24 hours: the second connection lags behind by some frames."""
    frames, snapshots = traffic
    arrivals = [(frame, frame) for frame in frames[:offset]]
    for lead, lag in zip(frames[offset:], frames, strict=False):
        arrivals += [(lead, lead), (b"", lag)]
    exchange, venue, events, asked = run(arrivals, snapshots)
    _, _, alone, _ = run([(frame, frame) for frame in frames], snapshots)
    check_books(venue, events, breaks=set())
    assert exchange.resyncs == 0
    assert set(asked.values()) == {1}
    keys = [
        [
            (type(e), e.symbol, getattr(e, "id", None), getattr(e, "bid_size", None))
            for e in one
            if not isinstance(e, Book)
        ]
        for one in (events, alone)
    ]
    assert keys[0] == keys[1]


def test_a_lost_book_feed_starts_anew_and_the_other_goes_on(traffic):
    frames, snapshots = traffic
    exchange, venue = Binance(), Venue(snapshots)
    kinds = []
    for recv, frame in enumerate(frames):
        venue.sees(frame)
        if recv == len(frames) // 2:
            exchange.lost([FeedKey("BTC/USDT", "book")])
        events = exchange.parse(frame, recv)
        while exchange.requests:
            request = exchange.requests.popleft()
            events += exchange.answer(request, venue.answer(request.params["symbol"]), recv)
        kinds += [event.symbol for event in events if isinstance(event, Book) and event.kind == "snapshot"]
    assert sorted(kinds) == ["BTC/USDT", "BTC/USDT", "ETH/USDT"]
    assert exchange.resyncs == 0
