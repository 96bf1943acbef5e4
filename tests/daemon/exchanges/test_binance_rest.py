"""Binance spot's REST side: what is asked, and real recorded answers."""

import gzip
import json

import pytest
from binance_payloads import Feeder, book_answer, depth

from bus.errors import ConfigError, MalformedFrame
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
    assert ask(exchange, exchange.instruments_request(), line.d.encode()) == []
    assert len(exchange.instruments) == 1695
    ether = exchange.instruments["ETH/BTC"]
    assert (ether.native, ether.base, ether.quote, ether.kind, ether.active) == ("ETHBTC", "ETH", "BTC", "spot", True)
    assert (ether.tick_size, ether.lot_size, ether.min_amount, ether.min_notional) == (
        "0.00000100", "0.00010000", "0.00010000", "0.00010000",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="did you mean BTC/USD"):
        exchange.trades_since("BTC/USDTT", None, None, None)


def test_instruments_of_today(answers):
    exchange = Binance()
    ask(exchange, exchange.instruments_request(), first(answers, "/api/v3/exchangeInfo"))
    assert exchange.instruments
    assert all(i.tick_size and i.lot_size and i.min_notional for i in exchange.instruments.values() if i.active)


def test_the_list_names_a_symbol_that_the_suffix_would_split_otherwise():
    feed = Feeder()
    feed(depth(s="ABUSD"))
    info = {"symbols": [{"symbol": "ABUSD", "status": "TRADING", "baseAsset": "A", "quoteAsset": "BUSD"}]}
    feed.exchange.answer(feed.exchange.instruments_request(), json.dumps(info), 1)
    events = feed.answer(book_answer(158))
    assert events[0].symbol == "A/BUSD"


def test_trades_by_id(answers):
    exchange = Binance()
    request = exchange.trades_since("BTC/USDT", "870281750", None, None)
    assert (request.path, request.weight) == ("/api/v3/historicalTrades", 25)
    assert dict(request.params) == {"symbol": "BTCUSDT", "limit": "1000", "fromId": "870281750"}
    events = ask(exchange, request, first(answers, "/api/v3/historicalTrades"))
    assert len(events) == 5
    trade = events[0]
    assert (trade.id, trade.price, trade.amount, trade.side, trade.source, trade.symbol, trade.ts) == (
        "870281750", "38172.11000000", "0.15000000", "sell", "backfill", "BTC/USDT", 1621933655947 * MS,
    )  # fmt: skip


def test_recent_trades(answers):
    request = Binance().trades_since("ETH/BTC", None, None, None)
    assert request.path == "/api/v3/trades"
    assert len(ask(Binance(), request, first(answers, "/api/v3/trades"))) == len(answers["/api/v3/trades"][0]["data"])


def test_trades_of_a_time_span_take_two_calls(answers):
    exchange = Binance()
    request = exchange.trades_since("BTC/USDT", None, 1588749117459 * MS - 1, None)
    assert (request.path, dict(request.params)) == (
        "/api/v3/aggTrades", {"symbol": "BTCUSDT", "limit": "1", "startTime": "1588749117459"},
    )  # fmt: skip
    assert ask(exchange, request, first(answers, "/api/v3/aggTrades")) == []
    (following,) = exchange.requests
    assert (following.path, following.params["fromId"]) == ("/api/v3/historicalTrades", "310207484")
    exchange.requests.clear()
    assert ask(exchange, request, b"[]") == []
    assert not exchange.requests


def test_aggregate_trades(answers):
    exchange = Binance(trades="aggregate")
    request = exchange.trades_since("BTC/USDT", None, 5 * MS, 9 * MS)
    assert (request.path, request.params["startTime"]) == ("/api/v3/aggTrades", "5")
    assert ask(exchange, request, first(answers, "/api/v3/aggTrades"))[0].id == "284861205"
    assert exchange.trades_since("BTC/USDT", "7", None, None).params["fromId"] == "7"


def test_candles(answers):
    exchange = Binance()
    rows = answers["/api/v3/klines"][0]["data"]
    request = exchange.candles_between("BTC/USDT", "5m", rows[0][0] * MS, rows[-1][0] * MS)
    assert dict(request.params) == {
        "symbol": "BTCUSDT", "interval": "5m", "limit": "1000",
        "startTime": str(rows[0][0]), "endTime": str(rows[-1][0]),
    }  # fmt: skip
    ended = rows[2][6]
    candles = ask(exchange, request, json.dumps(rows).encode(), (ended + 1) * MS)
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
    request = exchange.trades_since("BTC/USDT", "1", None, None)
    assert ask(exchange, request, first(answers, "/api/v3/historicalTrades"))[0].source == "replay"
