"""Binance USD-M futures: the documented payloads, breaks put into a real recording, contracts, calls."""

import json
import random
from decimal import Decimal

import pytest

from bus.book import BookBuilder
from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Funding, Liquidation, MarkPrice, OpenInterest, Quality, Ticker, Trade
from daemon.exchanges.base import FeedKey, Span
from daemon.exchanges.binanceusdm import BinanceUsdm
from daemon.recording import Recording

MS = 1_000_000


def frame(data: dict[str, object], stream: str = "btcusdt@x") -> bytes:
    return json.dumps({"stream": stream, "data": data}).encode()


def mark(time: int = 1562305380000, rate: str = "0.00038167") -> bytes:
    return frame(
        {
            "e": "markPriceUpdate", "E": time, "s": "BTCUSDT", "p": "11794.15000000", "i": "11784.62659091",
            "P": "11784.25641265", "r": rate, "T": 1562306400000,
        }
    )  # fmt: skip


def forced(**changed: object) -> bytes:
    order = {
        "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.014", "p": "9910", "ap": "9908.5",
        "X": "FILLED", "l": "0.014", "z": "0.014", "T": 1568014460893,
    }  # fmt: skip
    return frame({"e": "forceOrder", "E": 1568014460893, "o": order | changed})


def test_the_mark_price_comes_with_the_funding_rate_when_that_has_changed():
    exchange = BinanceUsdm()
    price, rate = exchange.parse(mark(), 5)
    assert price == MarkPrice(
        "binanceusdm", "BTC/USDT:USDT", 1562305380000 * MS, 5, "ws", "11794.15000000", "11784.62659091"
    )
    assert rate == Funding(
        "binanceusdm", "BTC/USDT:USDT", 1562305380000 * MS, 5, "ws", "0.00038167", 1562306400000 * MS
    )
    assert [type(e) for e in exchange.parse(mark(1562305381000), 6)] == [MarkPrice]
    assert [type(e) for e in exchange.parse(mark(1562305382000, "-0.0001"), 7)] == [MarkPrice, Funding]
    assert exchange.parse(mark(1562305382000), 8) == []
    assert exchange.duplicates["mark_price"] == 1
    exchange.lost([FeedKey("BTC/USDT:USDT", "funding")])
    assert [type(e) for e in exchange.parse(mark(1562305383000, "-0.0001"), 9)] == [MarkPrice, Funding]


def test_a_dated_future_has_a_mark_price_and_no_funding():
    exchange = BinanceUsdm()
    body = mark(rate="").replace(b"BTCUSDT", b"BTCUSDT_210924")
    (price,) = exchange.parse(body, 5)
    assert price.symbol == "BTC/USDT:USDT-210924"
    with pytest.raises(ConfigError, match="dated future"):
        exchange.streams(FeedKey("BTC/USDT:USDT-210924", "funding"))


def test_a_liquidation_is_told_once_at_its_average_price():
    exchange = BinanceUsdm()
    assert exchange.parse(forced(), 5) == [
        Liquidation(
            "binanceusdm", "BTC/USDT:USDT", 1568014460893 * MS, 5, "ws", None, "sell", "9908.5", "0.014"
        )
    ]  # fmt: skip
    assert exchange.parse(forced(), 6) == []
    (second,) = exchange.parse(forced(ap="0", T=1568014460999, S="BUY"), 7)
    assert (second.price, second.side) == ("9910", "buy")


def test_fills_that_are_no_trades_use_up_their_id():
    exchange = BinanceUsdm()
    trade = {
        "e": "trade", "E": 1723161256322, "T": 1723161256322, "s": "BTCUSDT", "t": 7, "p": "61800.30", "q": "0.006",
        "X": "MARKET", "m": False,
    }  # fmt: skip
    (first,) = exchange.parse(frame(trade), 5)
    assert (type(first), first.id, first.side) == (Trade, "7", "buy")
    (remark,) = exchange.parse(frame(trade | {"t": 8, "X": "INSURANCE_FUND", "p": "0", "q": "0"}), 6)
    assert (type(remark), remark.rule, remark.event_ref) == (Quality, "not_a_trade", "8")
    assert exchange.parse(frame(trade), 7) == []


def test_day_statistics_have_no_best_prices():
    day = {
        "e": "24hrTicker", "E": 1568014460893, "s": "BTCUSDT", "p": "1", "P": "2", "w": "3", "c": "0.0025", "Q": "10",
        "o": "0.0010", "h": "0.0026", "l": "0.0009", "v": "10000", "q": "18", "O": 0, "C": 86400000, "F": 0, "L": 9,
        "n": 10,
    }  # fmt: skip
    (event,) = BinanceUsdm().parse(frame(day), 5)
    assert type(event) is Ticker
    assert (event.bid, event.last, event.open, event.volume, event.quote_volume) == (
        None, "0.0025", "0.0010", "10000", "18",
    )  # fmt: skip


def test_open_interest_is_polled_and_told_when_it_is_new():
    exchange = BinanceUsdm()
    request = exchange.polls(FeedKey("BTC/USDT:USDT", "open_interest"))
    assert request is not None
    assert (request.path, request.params) == ("/fapi/v1/openInterest", {"symbol": "BTCUSDT"})
    body = b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}'
    assert exchange.answer(request, body, 5) == [
        OpenInterest("binanceusdm", "BTC/USDT:USDT", 1589437530011 * MS, 5, "rest", "10659.509")
    ]
    assert exchange.answer(request, body, 6) == []
    assert exchange.polls(FeedKey("BTC/USDT:USDT", "trade")) is None
    with pytest.raises(MalformedFrame, match="plain decimal"):
        exchange.answer(request, body.replace(b"10659.509", b"NaN"), 7)


def test_each_feed_has_its_path():
    exchange = BinanceUsdm()
    url = {
        channel: exchange.url("wss://x/", FeedKey("BTC/USDT:USDT", channel))
        for channel in exchange.channels - exchange.polled
    }
    assert {channel for channel, path in url.items() if path == "wss://x/public/stream"} == {"book", "ticker"}
    assert set(url.values()) == {"wss://x/public/stream", "wss://x/market/stream"}


def test_the_contracts_of_2021(recordings):
    exchange = BinanceUsdm()
    line = next(iter(Recording(recordings / "binanceusdm_2021.jsonl.gz")))
    assert exchange.answer(exchange.instruments_requests()[0], line.d, 1) == []
    dated = exchange.instruments["BTC/USDT:USDT-210924"]
    assert (dated.native, dated.kind, dated.tick_size, dated.min_notional) == ("BTCUSDT_210924", "future", "0.1", "5")
    forever = exchange.instruments["BTC/BUSD:BUSD"]
    assert (forever.native, forever.kind, forever.active, forever.lot_size) == ("BTCBUSD", "linear", True, "0.001")
    assert not exchange.instruments["BTCST/USDT:USDT"].active
    assert exchange.streams(FeedKey("BTC/USDT:USDT-210924", "trade")) == ["btcusdt_210924@aggTrade"]
    with pytest.raises(ConfigError, match="did you mean BTC/USDT:USDT"):
        exchange.streams(FeedKey("BTC/USDT", "trade"))
    request = exchange.history(FeedKey("BTC/USDT:USDT", "trade"), Span(1, 2, "5", "9"))
    assert request is not None
    assert (request.path, request.params["fromId"]) == ("/fapi/v1/aggTrades", "5")


@pytest.fixture(scope="module")
def traffic(recordings):
    """Depth frames of some minutes, and the snapshot that they follow on."""
    depth, snapshot = [], ""
    for line in Recording(recordings / "binanceusdm_btcusdt_20240808.jsonl.gz"):
        if line.k == "ws" and "@depth" in line.d:
            depth.append(json.loads(line.d)["data"])
        elif "/depth" in line.u:
            snapshot = line.d
    return depth, json.loads(snapshot)


class Venue:
    """The true book, which answers requests for snapshots."""

    def __init__(self, snapshot) -> None:
        self.book = BookBuilder()
        levels = [[tuple(level) for level in snapshot[side]] for side in ("bids", "asks")]
        self.book.apply(Book("v", "B", None, 0, "rest", "snapshot", *levels, last_id=snapshot["lastUpdateId"]))

    def sees(self, d) -> None:
        sides = [[tuple(level) for level in d[side]] for side in "ba"]
        self.book.apply(Book("v", "B", None, 0, "ws", "delta", *sides, d["U"], d["u"], d["pu"]))

    def answer(self) -> bytes:
        return json.dumps(
            {"lastUpdateId": self.book.last_id, "bids": self.book.bids(5000), "asks": self.book.asks(5000)}
        ).encode()


@pytest.mark.parametrize("seed", range(3))
def test_every_break_is_found_and_none_invented(traffic, seed):
    depth, snapshot = traffic
    chance, exchange, venue = random.Random(seed), BinanceUsdm(), Venue(snapshot)
    mine, dropped, resyncs, waiting = BookBuilder(), 0, 0, []
    for recv, data in enumerate(depth):
        venue.sees(data)
        in_sync = mine.in_sync
        missing = chance.random() < 1 / 50
        events = [] if missing else exchange.parse(frame(data), recv + 1)
        if not missing and chance.random() < 1 / 20:
            assert exchange.parse(frame(data), recv + 1) == []
        if exchange.resyncs > resyncs:
            assert dropped, "a break that nobody made"
            resyncs, dropped = exchange.resyncs, 0
        elif in_sync and not missing and not waiting and exchange.resyncs:
            assert not dropped, "a break that was not found"
        dropped += missing
        while exchange.requests:
            waiting.append((recv + 3, exchange.requests.popleft()))
        if waiting and waiting[0][0] <= recv:
            events += exchange.answer(waiting.pop(0)[1], venue.answer(), recv + 1)
            dropped = 0
        for event in events:
            assert mine.apply(event)
        if mine.in_sync and mine.last_id == venue.book.last_id:
            assert [tuple(map(Decimal, x)) for x in mine.bids(5)] == [
                tuple(map(Decimal, x)) for x in venue.book.bids(5)
            ]
    assert resyncs > 50


def test_ids_that_begin_anew_are_no_duplicates(traffic):
    depth, snapshot = traffic
    exchange, venue = BinanceUsdm(), Venue(snapshot)
    for data in depth[:200]:
        venue.sees(data)
        exchange.parse(frame(data), 1)
        while exchange.requests:
            exchange.answer(exchange.requests.popleft(), venue.answer(), 1)
    late = depth[200] | {"U": 5, "u": 9, "pu": 4, "E": depth[200]["E"] + 5_000}
    assert exchange.parse(frame(late), 2) == []
    assert exchange.resyncs == 1
    assert exchange.requests
