"""Binance spot's REST side: what is asked, and real recorded answers."""

import gzip
import json

import pytest
from binance_payloads import Feeder, book_answer, depth

from bus.errors import ConfigError, MalformedFrame
from daemon.exchanges.base import FeedKey, Span
from daemon.exchanges.binance import Binance
from daemon.recording import Recording

NOW = 1_800_000_000_000_000_000
MS = 1_000_000


@pytest.fixture(scope="module")
def answers(recordings):
    """Real answers by route, as another client recorded them."""
    with gzip.open(recordings / "rest" / "gct_binance_public.json.gz") as file:
        return json.load(file)


def first(answers, route: str) -> bytes:
    return json.dumps(answers[route][0]["data"]).encode()


def ask(exchange: Binance, request, body: bytes, recv: int = NOW) -> list:
    return exchange.answer(request, body, recv)


def test_instruments_of_2021(recordings):
    exchange = Binance()
    line = next(iter(Recording(recordings / "binance_2021.jsonl.gz")))
    assert exchange.instruments == {}
    assert ask(exchange, exchange.instruments_requests()[0], line.d.encode()) == []
    assert len(exchange.instruments) == 1695
    ether = exchange.instruments["ETH/BTC"]
    assert (ether.native, ether.base, ether.quote, ether.kind, ether.active) == ("ETHBTC", "ETH", "BTC", "spot", True)
    assert (ether.tick_size, ether.lot_size, ether.min_amount, ether.min_notional) == (
        "0.00000100", "0.00010000", "0.00010000", "0.00010000",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="did you mean BTC/USD"):
        exchange.history(FeedKey("BTC/USDTT", "trade"), Span(1, 2))


def test_instruments_of_today(answers):
    exchange = Binance()
    ask(exchange, exchange.instruments_requests()[0], first(answers, "/api/v3/exchangeInfo"))
    assert exchange.instruments
    assert all(i.tick_size and i.lot_size and i.min_notional for i in exchange.instruments.values() if i.active)


def test_the_list_names_a_symbol_that_the_suffix_would_split_otherwise():
    feed = Feeder()
    feed(depth(s="ABUSD"))
    info = {"symbols": [{"symbol": "ABUSD", "status": "TRADING", "baseAsset": "A", "quoteAsset": "BUSD"}]}
    feed.exchange.answer(feed.exchange.instruments_requests()[0], json.dumps(info), 1)
    events = feed.answer(book_answer(158))
    assert events[0].symbol == "A/BUSD"


def test_trades_by_id(answers):
    exchange = Binance()
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(1, NOW, "870281750", "870281752"))
    assert (request.path, request.weight) == ("/api/v3/historicalTrades", 25)
    assert dict(request.params) == {"symbol": "BTCUSDT", "limit": "1000", "fromId": "870281750"}
    page = exchange.page(request, first(answers, "/api/v3/historicalTrades"), NOW)
    assert [trade.id for trade in page.events] == ["870281750", "870281751", "870281752"]
    assert page.next is None
    trade = page.events[0]
    assert (trade.price, trade.amount, trade.side, trade.source, trade.symbol, trade.ts) == (
        "38172.11000000", "0.15000000", "sell", "backfill", "BTC/USDT", 1621933655947 * MS,
    )  # fmt: skip


def test_trades_of_a_time_span_begin_with_an_aggregate(answers):
    exchange = Binance()
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(1588749117459 * MS - 1, NOW))
    assert (request.path, dict(request.params)) == (
        "/api/v3/aggTrades", {"symbol": "BTCUSDT", "limit": "1", "startTime": "1588749117459"},
    )  # fmt: skip
    page = exchange.page(request, first(answers, "/api/v3/aggTrades"), NOW)
    assert page.events == []
    assert (page.next.path, page.next.params["fromId"]) == ("/api/v3/historicalTrades", "310207484")
    assert exchange.page(request, b"[]", NOW).next is None


def trades_from(first: int, count: int, time: int = 1_600_000_000_000) -> bytes:
    return json.dumps(
        [{"id": first + n, "price": "1", "qty": "1", "time": time + n, "isBuyerMaker": True} for n in range(count)]
    ).encode()


def test_a_long_span_is_paged_until_its_end():
    exchange = Binance()
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(1, NOW, "5", "1500"))
    page = exchange.page(request, trades_from(5, 1000), NOW)
    assert len(page.events) == 1000
    assert page.next.params["fromId"] == "1005"
    page = exchange.page(page.next, trades_from(1005, 1000), NOW)
    assert page.events[-1].id == "1500"
    assert page.next is None


def test_a_page_that_is_not_full_is_the_last_one():
    exchange = Binance()
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(1, NOW, "5", "1500"))
    assert exchange.page(request, trades_from(5, 3), NOW).next is None


def test_a_time_span_ends_at_its_end():
    exchange = Binance()
    span = Span(1, 1_600_000_000_001 * MS)
    page = exchange.page(
        exchange.history(FeedKey("BTC/USDT", "trade"), span),
        b'[{"a":1,"p":"1","q":"1","f":7,"l":9,"T":1600000000000,"m":true}]',
        NOW,
    )
    page = exchange.page(page.next, trades_from(7, 1000), NOW)
    assert [trade.id for trade in page.events] == ["7", "8"]
    assert page.next is None


def test_aggregate_trades(answers):
    exchange = Binance(trades="aggregate")
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(5 * MS, NOW))
    assert (request.path, request.params["startTime"]) == ("/api/v3/aggTrades", "5")
    assert exchange.page(request, first(answers, "/api/v3/aggTrades"), NOW).events[0].id == "284861205"
    assert exchange.history(FeedKey("BTC/USDT", "trade"), Span(5, NOW, "7", "9")).params["fromId"] == "7"


def test_a_trade_out_of_history_is_fresh_once():
    exchange = Binance()
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(1, NOW, "5", "6"))
    trade, other = exchange.page(request, trades_from(5, 2), NOW).events
    assert [exchange.fresh(trade), exchange.fresh(trade), exchange.fresh(other)] == [True, False, True]


def test_books_and_tickers_have_no_history():
    exchange = Binance()
    assert exchange.history(FeedKey("BTC/USDT", "book"), Span(1, 2)) is None
    assert exchange.history(FeedKey("BTC/USDT", "ticker"), Span(1, 2)) is None


def test_candles(answers):
    exchange = Binance()
    rows = answers["/api/v3/klines"][0]["data"]
    feed = FeedKey("BTC/USDT", "candle", "5m")
    request = exchange.history(feed, Span(rows[0][0] * MS, rows[-1][0] * MS))
    assert dict(request.params) == {
        "symbol": "BTCUSDT", "interval": "5m", "limit": "1000",
        "startTime": str(rows[0][0]), "endTime": str(rows[-1][0]),
    }  # fmt: skip
    ended = rows[2][6]
    candles = exchange.page(request, json.dumps(rows).encode(), (ended + 1) * MS).events
    assert [candle.closed for candle in candles[:4]] == [True, True, True, False]
    candle = candles[0]
    assert [candle.open, candle.high, candle.low, candle.close, candle.volume] == rows[0][1:6]
    assert (candle.open_ts, candle.trades, candle.timeframe, candle.ts, candle.source) == (
        rows[0][0] * MS, rows[0][8], "5m", None, "backfill",
    )  # fmt: skip


def test_depth(answers):
    feed = Feeder()
    body = first(answers, "/api/v3/depth")
    last = json.loads(body)["lastUpdateId"]
    feed(depth(last, last + 1, s="BTCUSDT"))
    snapshot, _ = feed.answer(body)
    assert (snapshot.kind, snapshot.last_id, snapshot.ts, snapshot.source) == ("snapshot", last, None, "rest")
    assert [list(level) for level in snapshot.bids] == json.loads(body)["bids"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b'{"lastUpdateId":1,"bids":[["0","1"]],"asks":[]}',
        b"null",
    ],
)
def test_a_snapshot_that_cannot_be_read_is_asked_for_again(body):
    feed = Feeder()
    feed(depth(1, 2))
    with pytest.raises(MalformedFrame, match="/api/v3/depth"):
        feed.answer(body)
    assert not feed.exchange.requests
    feed(depth(3, 4))
    assert len(feed.answer(book_answer(1))) == 3


def test_history_under_replay_says_replay(answers):
    exchange = Binance("replay")
    request = exchange.history(FeedKey("BTC/USDT", "trade"), Span(1, NOW, "1", "999999999999"))
    assert exchange.page(request, first(answers, "/api/v3/historicalTrades"), NOW).events[0].source == "replay"
