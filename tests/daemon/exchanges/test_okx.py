"""OKX: what is subscribed to, what each message becomes, what a break does."""

import json
from collections import Counter

import pytest
from okx_payloads import (
    FUNDING,
    INTEREST,
    MARK,
    T,
    book,
    candle,
    frame,
    liquidations,
    listed,
    ticker,
    trade,
)

from bus.errors import ConfigError, MalformedFrame
from bus.events import Candle, Funding, Liquidation, MarkPrice, OpenInterest, Ticker, Trade
from daemon.exchanges.base import FeedKey

PERPETUAL = "BTC/USDT:USDT"
NS = 1_000_000
HEAD = ("okx", PERPETUAL, T * NS, 5, "ws")


@pytest.mark.parametrize(
    ("feed", "streams", "path"),
    [
        (FeedKey("BTC/USDT", "trade"), ["trades-all:BTC-USDT"], "business"),
        (FeedKey("BTC/USDT", "ticker"), ["tickers:BTC-USDT"], "public"),
        (FeedKey(PERPETUAL, "book"), ["books:BTC-USDT-SWAP"], "public"),
        (FeedKey(PERPETUAL, "candle", "1d"), ["candle1Dutc:BTC-USDT-SWAP"], "business"),
        (FeedKey(PERPETUAL, "funding"), ["funding-rate:BTC-USDT-SWAP"], "public"),
        (FeedKey(PERPETUAL, "liquidation"), ["liquidation-orders:SWAP"], "public"),
        (FeedKey("BTC/USD:BTC-241227", "liquidation"), ["liquidation-orders:FUTURES"], "public"),
        (FeedKey("BTC/USD:BTC-241227", "mark_price"), ["mark-price:BTC-USD-241227"], "public"),
    ],
)
def test_a_feed_is_a_stream_at_one_of_two_urls(feed, streams, path):
    okx = listed()
    assert okx.streams(feed) == streams
    assert okx.url("wss://ws.okx.com:8443/", feed) == f"wss://ws.okx.com:8443/ws/v5/{path}"


def test_aggregates_are_on_the_public_url():
    okx, feed = listed(trades="aggregate"), FeedKey("BTC/USDT", "trade")
    assert (okx.streams(feed), okx.url("wss://x", feed)) == (["trades:BTC-USDT"], "wss://x/ws/v5/public")


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (FeedKey("BTC/UDST", "trade"), "did you mean BTC/USDT"),
        (FeedKey("BTC/USDT", "funding"), "no funding of BTC/USDT: its kind is spot"),
        (FeedKey("BTC/USD:BTC-241227", "funding"), "its kind is future"),
        (FeedKey("BTC/USDT", "candle", "7m"), "no timeframe '7m'"),
        (FeedKey("BTC/USDT", "news"), "no channel 'news'"),
    ],
)
def test_a_feed_that_okx_lacks_is_refused_with_a_sentence(feed, said):
    with pytest.raises(ConfigError, match=said):
        listed().streams(feed)


def test_subscribing():
    (text,) = listed().subscribe(["trades-all:BTC-USDT", "liquidation-orders:SWAP", "liquidation-orders:SWAP"], 7)
    args = [{"channel": "trades-all", "instId": "BTC-USDT"}, {"channel": "liquidation-orders", "instType": "SWAP"}]
    assert json.loads(text) == {"id": "7", "op": "subscribe", "args": args}
    (text,) = listed().unsubscribe(["books:BTC-USDT"], 8)
    assert json.loads(text) == {"id": "8", "op": "unsubscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}]}
    assert listed().ping() == "ping"


def test_the_largest_subscribe_message_is_within_64_kilobytes():
    okx = listed()
    streams = [f"liquidation-orders:{'X' * 20}{n}-USDT-SWAP" for n in range(okx.limits.streams_per_message)]
    assert len(okx.subscribe(streams, 1)[0]) < 64 * 1024


def test_trades_and_aggregates_are_told_apart():
    okx = listed()
    event = Trade(*HEAD, "130639474", "42219.9", "12", "buy")
    assert okx.parse(trade(), 5) == okx.parse(trade(channel="trades", count="3"), 5) == [event]
    assert okx.parse(trade(), 6) == []
    assert okx.duplicates == Counter(trade=1)
    assert not okx.fresh(event)
    okx.lost([FeedKey(PERPETUAL, "trade")])
    assert len(okx.parse(trade(), 7)) == 1


def test_an_instrument_that_is_not_listed_is_malformed():
    with pytest.raises(MalformedFrame, match="unknown instrument 'X-Y'"):
        listed().parse(trade(of="X-Y"), 1)


def test_a_book_follows_prev_seq_id_even_where_seq_id_falls():
    okx = listed()
    (first,) = okx.parse(book(-1, 10, "snapshot"), 1)
    (second,) = okx.parse(book(10, 15), 2)
    (quiet,) = okx.parse(book(15, 15, bids=()), 3)
    (fallen,) = okx.parse(book(15, 3), 4)
    (after,) = okx.parse(book(3, 5), 5)
    assert (first.kind, first.bids, first.last_id, first.prev_id) == ("snapshot", [("8476.97", "256")], 10, None)
    assert [(e.kind, e.prev_id, e.last_id) for e in (second, quiet, fallen, after)] == [
        ("delta", 10, 15), ("delta", 15, 15), ("delta", 15, 3), ("delta", 3, 5),
    ]  # fmt: skip
    assert okx.resyncs == 0


def test_a_missing_update_breaks_that_book_alone_and_is_told_once():
    okx = listed()
    for of in ("BTC-USDT", "BTC-USDT-SWAP"):
        okx.parse(book(-1, 10, "snapshot", of=of), 1)
    assert okx.parse(book(11, 12), 2) == okx.parse(book(12, 13), 3) == []
    (notice,) = okx.notices
    assert (notice.kind, notice.feeds, okx.resyncs) == ("resync", (FeedKey(PERPETUAL, "book"),), 1)
    assert "stands at 10, the next update follows on 11" in notice.text
    assert len(okx.parse(book(10, 11, of="BTC-USDT"), 4)) == 1
    assert len(okx.parse(book(-1, 20, "snapshot"), 5) + okx.parse(book(20, 21), 6)) == 2


def test_a_book_follows_the_connection_whose_snapshot_came_last_and_outlives_it():
    okx = listed()
    okx.parse(book(-1, 10, "snapshot"), 1, 1)
    okx.parse(book(-1, 11, "snapshot"), 2, 2)
    assert okx.parse(book(10, 11), 3, 1) == []
    assert okx.duplicates == Counter(book=1)
    okx.lost([], 2)
    assert okx.parse(book(11, 12), 4, 1) == []
    assert [notice.kind for notice in okx.notices] == ["resync"]


def test_a_lost_book_waits_for_a_snapshot():
    okx = listed()
    okx.parse(book(-1, 10, "snapshot"), 1)
    okx.lost([FeedKey(PERPETUAL, "book")])
    assert okx.parse(book(10, 11), 2) == []
    assert len(okx.parse(book(-1, 12, "snapshot"), 3)) == 1


def test_tickers():
    okx = listed()
    figures = ("8888.88", "5", "9999.99", "11", "9999.99", "9000", "10000", "8888.88", "3333")
    assert okx.parse(ticker(), 5) == [Ticker(*HEAD, *figures, None)]  # volCcy24h is in coins here
    assert okx.parse(ticker(), 6) == okx.parse(ticker(ts=str(T - 1), last="1"), 7) == []
    assert okx.duplicates == Counter(ticker=2)
    (spot,) = okx.parse(ticker("BTC-USDT", bidPx="", bidSz="", last="0"), 8)
    assert (spot.symbol, spot.bid, spot.bid_size, spot.last, spot.quote_volume) == (
        "BTC/USDT",
        None,
        None,
        None,
        "2222",
    )
    assert len(okx.parse(ticker(last="1"), 9)) == 1  # the same millisecond, another state


def test_candles_go_on_by_their_volume():
    okx = listed()
    opened = T // 60000 * 60000 * NS
    assert okx.parse(candle(), 5) == [
        Candle(
            "okx", PERPETUAL, None, 5, "ws", "1m", opened, "8533.02", "8553.74", "8527.17", "8548.26", "45247", None,
            closed=False,
        )
    ]  # fmt: skip
    assert okx.parse(candle(), 6) == okx.parse(candle(volume="45246.9"), 7) == []
    assert len(okx.parse(candle(volume="45247.1"), 8)) == 1
    (closed,) = okx.parse(candle("1", "45247.1"), 9)
    assert closed.closed
    assert okx.parse(candle("1", "45247.1"), 10) == okx.parse(candle(volume="45247.2"), 11) == []
    assert okx.parse(candle(bar="1Mutc"), 12)[0].timeframe == "1M"


def test_what_contracts_add():
    okx = listed()
    assert okx.parse(frame("funding-rate", [FUNDING]), 5) == [Funding(*HEAD, "-0.0001875", 1700726400000 * NS)]
    assert okx.parse(frame("open-interest", [INTEREST]), 5) == [OpenInterest(*HEAD, "22161.13")]
    assert okx.parse(frame("mark-price", [MARK]), 5) == [MarkPrice(*HEAD, "0.1")]
    (dollars,) = okx.parse(frame("open-interest", [INTEREST], "BTC-USD-241227"), 5)
    assert dollars.value == "1939251795.54"
    for channel, item in (("funding-rate", FUNDING), ("open-interest", INTEREST), ("mark-price", MARK)):
        assert okx.parse(frame(channel, [item]), 6) == []
        assert len(okx.parse(frame(channel, [item | {"ts": str(T + 1)}]), 7)) == 1
    assert okx.duplicates == Counter(funding=1, open_interest=1, mark_price=1)


def test_liquidations_of_all_symbols_come_in_one_stream():
    okx = listed()
    assert okx.bundled == {Liquidation}
    first, second = okx.parse(liquidations({}, {"side": "sell"}), 5)
    assert first == Liquidation(*HEAD, None, "buy", "0.007831", "13")
    assert (second.side, second.recv) == ("sell", 6)
    assert okx.parse(liquidations({}), 9) == okx.parse(liquidations({}, of="NEW-USDT-SWAP"), 10) == []
    assert okx.duplicates == Counter(liquidation=1)


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("pong", "control", None),
        (
            '{"id":"3","event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"x"}',
            "control",
            None,
        ),
        ('{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"x"}', "control", None),
        ('{"id":"3","event":"error","code":"60012","msg":"Invalid request","connId":"x"}', "refused", 3),
        ('{"event":"error","code":"60018","msg":"does not exist","connId":"x"}', "refused", None),
        (
            '{"event":"notice","code":"64008","msg":"The connection will soon be closed","connId":"x"}',
            "reconnect",
            None,
        ),
        ('{"arg":{"channel":"news"},"data":[]}', "unknown", None),
        ("[]", "unknown", None),
    ],
)
def test_what_is_no_data_is_a_notice(text, kind, number):
    okx = listed()
    assert okx.parse(text.encode(), 1) == []
    (notice,) = okx.notices
    assert (notice.kind, notice.message_id) == (kind, number)


def test_a_frame_that_is_half_bad_leaves_no_trace():
    okx = listed()
    good = json.loads(trade())["data"][0]
    with pytest.raises(MalformedFrame):
        okx.parse(frame("trades-all", [good, good | {"tradeId": "5", "px": "0"}]), 1)
    assert len(okx.parse(trade(), 2)) == 1


def test_an_unreadable_message_of_trades_tells_its_feed():
    okx, feed = listed(), FeedKey("BTC/USDT:USDT", "trade")
    whole = trade()
    for damaged in (
        whole[:-9], trade(channel="trades")[:-9], b"{" + whole[9:], whole.replace(b"arg", b"a"),
        whole.replace(b"BTC-USDT-SWAP", b"BT-USDT-SWAP", 1), whole.replace(b'"instId":"BTC', b'"instId":"BT\xff', 1),
    ):  # fmt: skip
        assert okx.torn(damaged) == [feed]
    for damaged in (whole[:40], b"{", b'{"arg":', whole[-60:], trade(of="ETH-USDT-SWAP")):
        assert okx.torn(damaged) is None
    for unknown in (whole.replace(b"trades-all", b"tradesxall"), whole.replace(b'"arg"', b'"axg"')):
        with pytest.raises(MalformedFrame):
            okx.parse(unknown, 1)
        assert okx.torn(unknown) == [feed]
    for other in (book(1, 2), book(1, 2)[:-20], ticker()[:-5], b""):
        assert okx.torn(other) == []


def test_a_listed_instrument_that_nobody_has_subscribed_to_is_malformed():
    okx, other = listed(), b"BTC-USD-SWAP"
    okx.subscribe(["trades-all:BTC-USDT-SWAP", "liquidation-orders:SWAP"], 1)
    assert len(okx.parse(trade(), 1)) == 1
    for damaged, about in (
        (trade(7).replace(b"BTC-USDT-SWAP", other, 1), [FeedKey("BTC/USDT:USDT", "trade")]),
        (trade(7).replace(b"BTC-USDT-SWAP", other), None),
    ):
        with pytest.raises(MalformedFrame, match="BTC-USD-SWAP"):
            okx.parse(damaged, 2)
        assert okx.torn(damaged) == about
    assert len(okx.parse(liquidations({}, of="BTC-USD-SWAP"), 3)) == 1
