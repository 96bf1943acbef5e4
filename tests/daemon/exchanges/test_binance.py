"""Binance spot's frames, each as documented: what they become, what is refused, what is said beside the data."""

import json

import pytest
from binance_payloads import E, Feeder, aggregate, combined, day, depth, kline, quote, raw, trade

from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Candle, Ticker, Trade
from daemon.exchanges.base import FeedKey, Notice
from daemon.exchanges.binance import Binance

MS = 1_000_000


def parse(frame: bytes) -> list:
    return Binance().parse(frame, 7)


def test_trade():
    expected = Trade("binance", "BNB/BTC", (E - 1) * MS, 7, "ws", "12345", "0.001", "100", "sell")
    for frame in (raw(trade()), combined("bnbbtc@trade", trade())):
        assert parse(frame) == [expected]


def test_aggregate_trade():
    (event,) = parse(combined("bnbbtc@aggTrade", aggregate()))
    assert event == Trade("binance", "BNB/BTC", (E - 1) * MS, 7, "ws", "12345", "0.001", "100", "buy")


def test_single_and_aggregate_trades_have_ids_of_their_own():
    feed = Feeder()
    assert [len(feed(payload)) for payload in (trade(100), aggregate(100), trade(100), aggregate(100))] == [1, 1, 0, 0]
    assert feed.exchange.duplicates == {"trade": 2}


def test_book_ticker_has_no_time():
    (event,) = parse(combined("bnbbtc@bookTicker", quote()))
    assert event == Ticker(
        "binance", "BNB/BTC", None, 7, "ws", "25.35190000", "31.21000000", "25.36520000", "40.66000000"
    )
    assert parse(raw(quote())) == [event]


def test_an_empty_side_is_none():
    (event,) = parse(raw(quote(b="0.00000000", B="0.00000000")))
    assert (event.bid, event.bid_size, event.ask) == (None, None, "25.36520000")
    with pytest.raises(MalformedFrame):
        parse(raw(quote(b="0.00000000")))


def test_day_ticker():
    (event,) = parse(combined("bnbbtc@ticker", day()))
    assert event == Ticker(
        "binance", "BNB/BTC", E * MS, 7, "ws", "0.0024", "10", "0.0026", "100",
        last="0.0025", open="0.0010", high="0.0026", low="0.0009", volume="10000", quote_volume="18",
    )  # fmt: skip


def test_a_day_without_trades_has_no_prices():
    zero = "0.00000000"
    (event,) = parse(raw(day(v=zero, q=zero, o=zero, h=zero, l=zero)))
    assert (event.last, event.open, event.high, event.low, event.volume) == ("0.0025", None, None, None, zero)
    with pytest.raises(MalformedFrame):
        parse(raw(day(o=zero)))


def test_candle():
    (event,) = parse(combined("bnbbtc@kline_1m", kline()))
    assert event == Candle(
        "binance", "BNB/BTC", E * MS, 7, "ws", "1m", 1672515780000 * MS, "0.0010", "0.0025", "0.0015", "0.0020",
        "1000", 100, closed=False,
    )  # fmt: skip


def test_depth_is_held_until_the_snapshot():
    feed = Feeder()
    assert feed(depth()) == []
    (request,) = feed.exchange.requests
    assert (request.path, dict(request.params), request.weight) == (
        "/api/v3/depth", {"symbol": "BNBBTC", "limit": "1000"}, 50,
    )  # fmt: skip


def test_microseconds_are_recognised():
    assert parse(raw(trade(T=1672515782136123)))[0].ts == 1672515782136123_000
    with pytest.raises(MalformedFrame):
        parse(raw(trade(T=10**13)))


def test_decimals_pass_exactly_as_sent():
    (event,) = parse(raw(trade(p="0.00000000100000000000", q="123456789012345.10")))
    assert (event.price, event.amount) == ("0.00000000100000000000", "123456789012345.10")


BAD_DECIMALS = [
    "NaN",
    "inf",
    "1e400",
    "1e5",
    "-1",
    "+1",
    "",
    ".",
    "1.2.3",
    " 1",
    "1_0",
    "0x1",
    "\u0661",
    "1,0",
    "9" * 41,
]


@pytest.mark.parametrize("text", [*BAD_DECIMALS, "0", "0.000", None, 5, [], {}])
@pytest.mark.parametrize(
    ("build", "field"),
    [(trade, "p"), (trade, "q"), (aggregate, "p"), (quote, "b"), (quote, "a"), (day, "c"), (day, "h"), (kline, "o")],
)
def test_what_must_be_a_number_above_zero(build, field, text):
    with pytest.raises(MalformedFrame):
        parse(raw(build(**{field: text})))


@pytest.mark.parametrize("text", [*BAD_DECIMALS, None, 5])
@pytest.mark.parametrize(("build", "field"), [(quote, "B"), (quote, "A"), (day, "v"), (kline, "v")])
def test_what_must_be_a_number(build, field, text):
    with pytest.raises(MalformedFrame):
        parse(raw(build(**{field: text})))


@pytest.mark.parametrize("text", [*BAD_DECIMALS, None, 5])
@pytest.mark.parametrize("side", ["b", "a"])
def test_levels_must_be_numbers(side, text):
    good = ["1", "0"]
    for level in ([text, "1"], ["1", text], [], ["1"], ["1", "1", "1"], ["0.0", "1"]):
        with pytest.raises(MalformedFrame):
            parse(raw(depth(**{side: [good, level, good]})))


REQUIRED = [
    (trade, "trade", "estpqTm"),
    (aggregate, "aggTrade", "esapqflTm"),
    (quote, "bookTicker", "usbBaA"),
    (day, "ticker", "eEscbBaAohlvq"),
    (depth, "depth@100ms", "eEsUuba"),
    (kline, "kline_1m", "eEsk"),
]


@pytest.mark.parametrize(("build", "stream", "field"), [(b, s, field) for b, s, fields in REQUIRED for field in fields])
def test_every_field_that_is_used_is_required_in_its_type(build, stream, field):
    payload = build()
    del payload[field]
    with pytest.raises(MalformedFrame):
        parse(combined(f"bnbbtc@{stream}", payload))
    for wrong in (None, {}, 1.5, -1, 2**70, "\n"):
        if field == "e" and wrong == "\n":
            continue  # another kind of event, not a broken one
        with pytest.raises(MalformedFrame):
            parse(combined(f"bnbbtc@{stream}", build() | {field: wrong}))


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"e":"trade"} trailing',
        b'{"stream":"bnbbtc@trade","data":' + b"[" * 100_000, b'{"e":"trade","s":"\\ud800"}',
        raw(depth(first=9, last=8)), raw(aggregate(f=9, l=8)), raw(kline(T=1)), raw(kline(i="7m")),
        raw(depth(b=[["1", "1"]] * 10_001)), raw(trade(s="BNB")), raw(trade(s="bnbbtc")), raw(trade(s="币安BTC")),
        raw(trade(s="A" * 60 + "BTC")), raw(trade()).replace(b"12345", b"9" * 5000), raw(trade(T=0)),
    ],
)  # fmt: skip
def test_malformed(frame):
    with pytest.raises(MalformedFrame) as caught:
        parse(frame)
    assert 0 < len(str(caught.value)) <= 200


def test_a_symbol_that_nobody_has_subscribed_to_is_malformed():
    exchange = Binance()
    exchange.subscribe(["bnbbtc@trade"], 1)
    with pytest.raises(MalformedFrame, match="BNBETH"):
        exchange.parse(combined("bnbbtc@trade", trade(1, s="BNBETH")), 1)
    assert len(exchange.parse(combined("bnbbtc@trade", trade(1)), 2)) == 1


def test_a_known_stream_reports_what_is_wrong_and_goes_on():
    exchange = Binance()
    assert exchange.parse(combined("bnbbtc@trade", trade(1)), 1)
    with pytest.raises(MalformedFrame):
        exchange.parse(combined("bnbbtc@trade", trade(2, p="nan")), 2)
    with pytest.raises(MalformedFrame):
        exchange.parse(combined("bnbbtc@trade", trade(2))[:-5], 2)
    assert exchange.parse(combined("bnbbtc@trade", trade(2)), 3)


def test_a_malformed_trade_is_not_remembered_as_seen():
    feed = Feeder()
    with pytest.raises(MalformedFrame):
        feed(trade(5, q="0"))
    assert len(feed(trade(5))) == 1


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ({"result": None, "id": 1}, "control"),
        ({"result": ["btcusdt@trade"], "id": 3}, "control"),
        ({"code": 2, "msg": "Invalid request: unknown variant", "id": 1}, "refused"),
        ({"error": {"code": 2, "msg": "Invalid request"}, "id": 1}, "refused"),
        ({"e": "serverShutdown", "E": E}, "reconnect"),
        ({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": E}}, "reconnect"),
        ({"e": "avgPrice", "E": E, "s": "BNBBTC"}, "unknown"),
        ({"stream": "bnbbtc@blockTrade", "data": {"e": "blockTrade"}}, "unknown"),
        ({"stream": "bnbbtc@trade", "data": {"e": "somethingNew"}}, "unknown"),
        ({"stream": "bnbbtc@depth5", "data": {"lastUpdateId": 160, "bids": [], "asks": []}}, "unknown"),
        ({"stream": "!ticker@arr", "data": [1, 2]}, "unknown"),
        ({"stream": None, "data": None}, "unknown"),
        ({}, "unknown"), ([], "unknown"), (None, "unknown"), (5, "unknown"), ("text", "unknown"),
        ({"e": 5}, "unknown"),
    ],
)  # fmt: skip
def test_what_is_no_market_data_becomes_a_notice(frame, kind):
    exchange = Binance()
    assert exchange.parse(raw(frame), 1) == []
    (notice,) = exchange.notices
    assert isinstance(notice, Notice)
    assert notice.kind == kind
    if kind == "refused":
        assert "Invalid request" in notice.text
        assert notice.message_id == frame["id"]


def test_overlapping_connections_publish_once():
    feed = Feeder()
    closed, opened = kline(x=True), kline(E + 2000, t=1672515840000, T=1672515899999)
    for payload in (trade(), quote(), day(), kline(), kline(E + 1), closed, opened):
        assert len(feed(payload)) == 1
        assert feed(payload) == []
    assert feed(closed) == feed(kline(E + 5)) == feed(quote(u=1)) == feed(day(E=E - 1)) == []
    assert feed.exchange.duplicates == {"trade": 1, "ticker": 4, "candle": 6}


def test_a_late_closing_of_a_candle_is_never_dropped():
    feed = Feeder()
    assert feed(kline(E + 2000, t=1672515840000, T=1672515899999))
    assert len(feed(kline(E, x=True))) == 1
    assert feed(kline(E, x=True)) == []


def test_after_lost_nothing_is_mistaken_for_a_duplicate():
    feed = Feeder()
    payloads = [trade(), quote(), day(), kline(x=True)]
    for payload in payloads:
        feed(payload)
    feeds = [FeedKey("BNB/BTC", "trade"), FeedKey("BNB/BTC", "ticker"), FeedKey("BNB/BTC", "candle", "1m")]
    feed.exchange.lost(feeds)
    for payload in payloads:
        assert len(feed(payload)) == 1
    assert not feed.exchange.duplicates
    feed.exchange.lost([FeedKey("ETH/BTC", "book"), FeedKey("no such", "trade")])


def test_events_of_a_replay_say_so():
    exchange = Binance("replay")
    assert exchange.parse(raw(trade()), 1)[0].source == "replay"


@pytest.mark.parametrize(
    ("feed", "streams"),
    [
        (FeedKey("BTC/USDT", "trade"), ["btcusdt@trade"]),
        (FeedKey("BTC/USDT", "ticker"), ["btcusdt@bookTicker", "btcusdt@ticker"]),
        (FeedKey("BTC/USDT", "book"), ["btcusdt@depth@100ms"]),
        (FeedKey("BTC/USDT", "candle", "1M"), ["btcusdt@kline_1M"]),
    ],
)
def test_streams_of_a_feed(feed, streams):
    assert Binance().streams(feed) == streams


def test_aggregate_trades_are_an_option():
    assert Binance(trades="aggregate").streams(FeedKey("BTC/USDT", "trade")) == ["btcusdt@aggTrade"]


@pytest.mark.parametrize(
    "feed",
    [
        FeedKey("BTC/USDT", "funding"),
        FeedKey("BTC/USDT", "candle", "7m"),
        FeedKey("BTC/USDT:USDT", "trade"),
        FeedKey("B", "trade"),
    ],
)
def test_a_feed_that_binance_lacks_is_a_configuration_error(feed):
    with pytest.raises(ConfigError, match="binance has no"):
        Binance().streams(feed)


def test_subscribing():
    exchange = Binance()
    assert (
        exchange.url("wss://stream.binance.com:9443/", FeedKey("A/B", "trade"))
        == "wss://stream.binance.com:9443/stream"
    )
    assert json.loads(exchange.subscribe(["a@trade", "b@depth"], 4)[0]) == {
        "method": "SUBSCRIBE", "params": ["a@trade", "b@depth"], "id": 4,
    }  # fmt: skip
    assert json.loads(exchange.unsubscribe(["a@trade"], 5)[0])["method"] == "UNSUBSCRIBE"
    assert exchange.ping() is None


def test_the_book_type_is_what_other_tests_take_it_for():
    feed = Feeder()
    feed(depth())
    snapshot, delta = feed.answer(b'{"lastUpdateId":158,"bids":[["0.0023","5"]],"asks":[]}')
    assert snapshot == Book(
        "binance", "BNB/BTC", None, 2, "rest", "snapshot", [("0.0023", "5")], [], last_id=158
    )  # fmt: skip
    assert delta == Book(
        "binance", "BNB/BTC", E * MS, 1, "ws", "delta", [("0.0024", "10")], [("0.0026", "100")], 157, 160, 158
    )  # fmt: skip
