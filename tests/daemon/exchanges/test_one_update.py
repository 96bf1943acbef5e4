"""The most frequent frame of an exchange is taken apart by a pattern, and comes to what decoding makes of it."""

from collections.abc import Iterable
from typing import Any

import coinbase_payloads as coinbase
import kraken_payloads as kraken
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.exchanges import coinbase as coinbase_module
from daemon.exchanges import kraken as kraken_module
from daemon.exchanges.base import Exchange

NUMBERS = [
    "21921.73", "5", "0", "0.00", "00.10", "007", "1e5", "-1", "+1", "NaN", "Infinity", "", ".5", "5.", ".", "1.2.3",
    "1_0", " 1", "٣", "0.00000001", "9" * 20, "9" * 21, "9" * 41, "0." + "1" * 38, "0." + "1" * 39, "0." + "0" * 19,
]  # fmt: skip
TIMES = [
    coinbase.T, "2023-02-09T20:32:50.7Z", "2023-02-09T20:32:50Z", "2023-13-09T20:32:50.7Z", "2023-02-09 20:32:50.7Z",
    "2023-02-09T20:32:50.7+00:00", "2023-02-09T20:32:50.7149648551Z", "1970-01-01T00:00:00.0Z", "Z", "",
]  # fmt: skip
BEGUN_COINBASE = [
    coinbase.book(0, asks=[("21922", "1")], kind="snapshot"), coinbase.book(1),
    coinbase.book(2, kind="snapshot", of="CGLD-EUR"),
]  # fmt: skip
BIDS, ASKS = [("5.1", "2.0"), ("5.0", "1.50")], [("5.2", "0.3")]
BEGUN_KRAKEN = [
    kraken.book(BIDS, ASKS, kraken.checksum(BIDS, ASKS), "snapshot"),
    kraken.book(BIDS, ASKS, None, "snapshot", "DOGE/USD"),
]


@st.composite
def garbled(draw: st.DrawFn, whole: bytes) -> bytes:
    """A frame, as it is or with characters that have changed."""
    frame = whole.decode()
    for _ in range(draw(st.integers(0, 2))):
        place, length = draw(st.integers(0, len(frame))), draw(st.integers(0, 6))
        frame = frame[:place] + draw(st.text('0123456789.."-+eZ,:[]{}\\ \né', max_size=6)) + frame[place + length :]
    return frame.encode()


@st.composite
def of_coinbase(draw: st.DrawFn) -> bytes:
    one = [(draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(NUMBERS)))]
    bids, asks = draw(st.sampled_from([(one, []), ([], one), (one, one), ([], [])]))
    number = draw(st.sampled_from([3, 3, 3, 2, 4, 2**63 - 1, 2**63, -1, 10**18]))
    of = draw(st.sampled_from(["BTC-USD", "BTC-USD", "CGLD-EUR", "ETH-EUR", "", "BTC", "B\tC-EUR", "É-EUR"]))
    kind = draw(st.sampled_from(["update", "update", "update", "snapshot", "delta"]))
    time = draw(st.sampled_from([coinbase.T, *TIMES]))
    return draw(garbled(coinbase.book(number, bids, asks, kind, of, time)))


def after(bids: Iterable[tuple[str, str]] = (), asks: Iterable[tuple[str, str]] = ()) -> int:
    """The checksum of Kraken's book once such levels have come, which both ways compute alike."""
    kept = kraken.listed()
    kept.parse(BEGUN_KRAKEN[0], 1)
    book = kept._market("BTC/USD").book
    try:
        book.bids.change([*bids])
        book.asks.change([*asks])
    except (MalformedFrame, ValueError):
        return 7
    return book.checksum()


@st.composite
def of_kraken(draw: st.DrawFn) -> bytes:
    one = [(draw(st.sampled_from(["5.1", *NUMBERS])), draw(st.sampled_from(NUMBERS)))]
    bids, asks = draw(st.sampled_from([(one, []), ([], one), (one, one), (one * 2, []), ([], [])]))
    right = after(bids, asks)
    crc = draw(st.sampled_from([right, right, right, None, 0, 10, 2**32 - 1, 2**32, 4_199_999_999, 9_999_999_999]))
    of = draw(st.sampled_from(["BTC/USD", "BTC/USD", "DOGE/USD", "ETH/EUR", "", "BTC", "B\\u0054C/USD", "É/EUR"]))
    kind = draw(st.sampled_from(["update", "update", "update", "snapshot", "delta"]))
    time = draw(st.sampled_from([kraken.T, *TIMES]))
    return draw(garbled(kraken.book(bids, asks, crc, kind, of, time)))


def outcome(exchange: Exchange, frames: list[tuple[bytes, int]]) -> list[Any]:
    """What frames come to, each with its connection, and what they leave behind."""
    found: list[Any] = []
    for recv, (frame, connection) in enumerate(frames):
        try:
            found.append(exchange.parse(frame, recv, connection))
        except MalformedFrame as error:
            found.append(str(error))
    return [*found, exchange.duplicates, exchange.notices, exchange.resyncs]


def same_without_the_pattern(listed, module, begun: list[bytes], draws: list[tuple[bytes, int]]) -> bool:
    """Whether frames come to the same where no frame is short enough for the pattern."""
    frames = [(frame, 0) for frame in begun] + draws
    fast = outcome(listed(), frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_OF_ONE", 0)
        return outcome(listed(), frames) == fast


@settings(deadline=None)
@given(st.lists(st.tuples(of_coinbase(), st.sampled_from([0, 0, 0, 1])), min_size=1, max_size=3))
@example([(coinbase.book(3, [("5", "0")]), 0)])
@example([(coinbase.book(3, [("0.00", "5")]), 0)])
@example([(coinbase.book(3, (), [("5.25", "1")]), 0), (coinbase.book(5, [("5", "1")]), 0)])
@example([(coinbase.book(3, of="ETH-EUR"), 0), (coinbase.book(4, of="ETH-EUR"), 0)])
@example([(coinbase.book(3).replace(b',"timestamp"', b',"more":1,"timestamp"'), 0)])
@example([(coinbase.book(3).replace(b"BTC-USD", b"\\u0042TC-USD"), 0)])
@example([(coinbase.book(3).replace(b":3,", b":03,"), 0)])
@example([(coinbase.book(3).replace(b"1970-", b"1970\\"), 0)])
@example([(coinbase.book(3).replace(b"1970-", b"1970\n"), 0)])
@example([(coinbase.book(3).replace(b"1970-", b"1970\xff"), 0)])
def test_coinbase(frames):
    assert same_without_the_pattern(coinbase.listed, coinbase_module, BEGUN_COINBASE, frames)


def test_the_pattern_of_coinbase_takes_the_recorded_form(monkeypatch: pytest.MonkeyPatch):
    read = coinbase.listed()
    outcome(read, [(frame, 0) for frame in BEGUN_COINBASE])
    monkeypatch.setattr(read, "_routed", lambda *_: pytest.fail("the usual update was not recognised"))
    (bid,) = read.parse(coinbase.book(3, [("21921.73", "0.06317902")], time="2023-02-09T20:32:50.714964Z"), 5)
    assert (bid.kind, bid.bids, bid.asks) == ("delta", [("21921.73", "0.06317902")], [])
    assert (bid.symbol, bid.ts, bid.recv) == ("BTC/USD", coinbase.NS // 1000 * 1000, 5)
    (ask,) = read.parse(coinbase.book(4, (), [("0.5", "0")], of="CGLD-EUR"), 6)
    assert (ask.symbol, ask.ts, ask.bids, ask.asks) == ("CELO/EUR", coinbase.NS, [], [("0.5", "0")])


@settings(deadline=None)
@given(st.lists(st.tuples(of_kraken(), st.sampled_from([0, 0, 0, 1])), min_size=1, max_size=3))
@example([(kraken.book([("5.1", "0.00")], (), after([("5.1", "0.00")])), 0)])
@example([(kraken.book([("0.0", "5.0")], (), 7), 0)])
@example([(kraken.book([("5.1", "1.0")], (), 2**32), 0)])
@example([(kraken.book([("5.1", "1.0")], (), 7), 0), (kraken.book([("5.1", "1.0")], (), 7), 0)])
@example([(kraken.book([("05.1", "1.0")], (), after([("5.1", "1.0")])), 0)])
@example([(kraken.book([("5.1", "01.0")], (), after([("5.1", "1.0")])), 0)])
@example([(kraken.book([("5.", "1.0")], (), after([("5", "1.0")])), 0)])
@example([(kraken.book([("5.1", "1.")], (), after([("5.1", "1")])), 0)])
@example([(kraken.book([("5.1", "1.0")], (), 7).replace(b":7,", b':7,"more":[],'), 0)])
@example([(kraken.book([("5.1", "1.0")], (), 7).replace(b":7,", b":07,"), 0)])
@example([(kraken.book([("5.1", "1.0")], (), 7).replace(b"BTC/USD", b"BTC/\xffSD"), 0)])
def test_kraken(frames):
    assert same_without_the_pattern(kraken.listed, kraken_module, BEGUN_KRAKEN, frames)


def test_the_pattern_of_kraken_takes_the_recorded_form(monkeypatch: pytest.MonkeyPatch):
    read = kraken.listed()
    outcome(read, [(frame, 0) for frame in BEGUN_KRAKEN])
    monkeypatch.setattr(read, "_routed", lambda *_: pytest.fail("the usual update was not recognised"))
    crc = after([("5.05", "0.70000000")])
    (bid,) = read.parse(kraken.book([("5.05", "0.70000000")], (), crc), 5)
    assert (bid.kind, bid.bids, bid.asks, bid.checksum) == ("delta", [("5.05", "0.70000000")], [], crc)
    assert (bid.symbol, bid.ts, bid.recv) == ("BTC/USD", kraken.NS, 5)
    crc = after([("5.05", "0.70000000")], [("5.2", "0.00000000")])
    (ask,) = read.parse(kraken.book((), [("5.2", "0.00000000")], crc), 6)
    assert (ask.bids, ask.asks, ask.checksum) == ([], [("5.2", "0.00000000")], crc)
