"""Every Binance recording gives the events of its golden file, value for value."""

import gzip
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

import msgspec
import pytest

from bus.book import BookBuilder
from bus.events import Book, Candle, Ticker, Trade, event_type
from daemon.exchanges import load
from daemon.recording import Recording, Replay, replay

NAMES = [
    "binance_2021", "binance_btcusdt_20240808", "binance_ethusdt_20240808", "binanceusdm_2021",
    "binanceusdm_btcusdt_20240808",
]  # fmt: skip


@pytest.fixture(scope="module", params=NAMES)
def played(request, recordings):
    """(golden lines, events by frame, the finished pass)"""
    with gzip.open(recordings / "golden" / f"{request.param}.golden.jsonl.gz") as file:
        golden = [msgspec.json.decode(line) for line in file]
    run = replay(Recording(recordings / f"{request.param}.jsonl.gz"), load(request.param.partition("_")[0])())
    events = defaultdict(list)
    for f, batch in run:
        events[f] += batch
    return golden, events, run


def numbers(line, names: dict[str, str]) -> dict[str, Decimal]:
    return {ours: Decimal(line[theirs]) for theirs, ours in names.items() if theirs in line}


def same_numbers(line, event, names: dict[str, str]) -> None:
    expected = numbers(line, names)
    assert expected
    assert {name: Decimal(getattr(event, name)) for name in expected} == expected, line


def pairs(golden, events, channel: str, kind: type):
    """Golden lines of a channel with our events at the same frame, which must be as many."""
    lines = [line for line in golden if line["channel"] == channel]
    ours = [(f, event) for f in sorted(events) for event in events[f] if isinstance(event, kind)]
    assert [f for f, _ in ours] == [line["f"] for line in lines]
    assert lines
    return zip(lines, (event for _, event in ours), strict=True)


def test_tickers(played):
    golden, events, _ = played
    for line, event in pairs(golden, events, "ticker", Ticker):
        same_numbers(line, event, {name: name for name in ("bid", "ask", "bid_size", "ask_size")})
        assert (event.symbol, event.source) == (line["symbol"], "replay")
        assert event.exchange != "binance" or event.ts is None  # spot tells no time with its best prices
        assert "ts" not in line or event.exchange == "binance" or event.ts == line["ts"]


def test_trades(played):
    golden, events, _ = played
    for line, event in pairs(golden, events, "trade", Trade):
        same_numbers(line, event, {"price": "price", "amount": "amount"})
        assert [getattr(event, name) for name in ("symbol", "ts", "id", "side")] == [
            line[name] for name in ("symbol", "ts", "id", "side")
        ]


def test_candles(played):
    golden, events, _ = played
    if not any(line["channel"] == "candle" for line in golden):
        assert not any(isinstance(event, Candle) for batch in events.values() for event in batch)
        return
    names = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    for line, event in pairs(golden, events, "candle", Candle):
        same_numbers(line, event, names)
        assert (event.symbol, event.ts, event.timeframe, event.closed, event.trades) == (
            line["symbol"], line["ts"], line["interval"], line["closed"], line["n"],
        )  # fmt: skip
        assert event.open_ts == line["start"] * 1_000_000_000


def test_books(played):
    golden, events, run = played
    lines = {f: list(group) for f, group in groupby((x for x in golden if x["channel"] == "book"), itemgetter("f"))}
    books: defaultdict[str, BookBuilder] = defaultdict(BookBuilder)
    compared = Counter()
    for f in range(-1, run.frame + 1):
        for event in events[f]:
            if isinstance(event, Book):
                assert books[event.symbol].apply(event), f"book of {event.symbol} lost at frame {f}"
                assert not books[event.symbol].crossed
        for line in lines.get(f, ()):
            book = books[line["symbol"]]
            if book.in_sync:
                compared[line["symbol"]] += 1
                assert book.last_id >= line["seq"]
                for side, ours in (("bids", book.bids(5)), ("asks", book.asks(5))):
                    assert [tuple(map(Decimal, level)) for level in ours] == [
                        tuple(map(Decimal, level)) for level in line[side]
                    ], line
    assert set(compared) == {line["symbol"] for batch in lines.values() for line in batch}
    assert sum(compared.values()) > 60


def test_nothing_is_malformed_dropped_or_resynchronised(played):
    _, events, run = played
    assert isinstance(run, Replay)
    assert (run.malformed, run._exchange.resyncs) == (0, 0)
    dropped = run._exchange.duplicates
    assert dropped <= Counter(book=11)  # in 2021 some deltas come after the snapshot that covers them
    assert not run._exchange.requests
    recvs = [event.recv for f in sorted(events) for event in events[f] if event_type(event) != "book"]
    assert recvs == sorted(set(recvs))
