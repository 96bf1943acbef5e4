"""Bybit: what is subscribed to, what each message becomes, what a break does."""

import json
from collections import Counter

import pytest
from bybit_payloads import (
    FULL,
    INVERSE,
    LINEAR,
    SPOT,
    URLS,
    T,
    book,
    frame,
    kline,
    liquidations,
    listed,
    tickers,
    trade,
)

from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Candle, Funding, Liquidation, MarkPrice, OpenInterest, Ticker, Trade
from daemon.exchanges.base import FeedKey

PERPETUAL = "BTC/USDT:USDT"
NS = 1_000_000


@pytest.mark.parametrize(
    ("feed", "streams", "category"),
    [
        (FeedKey("BTC/USDT", "trade"), ["publicTrade.BTCUSDT"], "spot"),
        (FeedKey("BTC/USDT", "ticker"), ["tickers.BTCUSDT", "orderbook.1.BTCUSDT"], "spot"),
        (FeedKey(PERPETUAL, "ticker"), ["tickers.BTCUSDT"], "linear"),
        (FeedKey(PERPETUAL, "funding"), ["tickers.BTCUSDT"], "linear"),
        (FeedKey("BTC/USD:BTC", "book"), ["orderbook.200.BTCUSD"], "inverse"),
        (FeedKey("BTC/USDC:USDC-241227", "candle", "1h"), ["kline.60.BTC-27DEC24"], "linear"),
        (FeedKey("BTC/USD:BTC-241227", "liquidation"), ["allLiquidation.BTCUSDZ24"], "inverse"),
    ],
)
def test_a_feed_is_topics_at_the_url_of_its_category(feed, streams, category):
    bybit = listed()
    assert bybit.streams(feed) == streams
    assert bybit.url("wss://stream.bybit.com/", feed) == f"wss://stream.bybit.com/v5/public/{category}"


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (FeedKey("BTC/UDST", "trade"), "did you mean BTC/USDT"),
        (FeedKey("BTC/USDT", "funding"), "no funding of BTC/USDT: its kind is spot"),
        (FeedKey("BTC/USDC:USDC-241227", "funding"), "its kind is future"),
        (FeedKey("BTC/USDT", "candle", "7m"), "no timeframe '7m'"),
        (FeedKey("BTC/USDT", "news"), "no channel 'news'"),
    ],
)
def test_a_feed_that_bybit_lacks_is_refused_with_a_sentence(feed, said):
    with pytest.raises(ConfigError, match=said):
        listed().streams(feed)


def test_topics_that_feeds_share_are_subscribed_to_in_messages_of_their_own():
    texts = listed().subscribe(["publicTrade.BTCUSDT", "tickers.BTCUSDT", "kline.1.BTCUSDT", "tickers.BTCUSDT"], 7)
    assert [json.loads(text) for text in texts] == [
        {"req_id": "7", "op": "subscribe", "args": ["publicTrade.BTCUSDT", "kline.1.BTCUSDT"]},
        {"req_id": "7", "op": "subscribe", "args": ["tickers.BTCUSDT"]},
    ]
    assert [json.loads(text) for text in listed().unsubscribe(["tickers.BTCUSDT"], 8)] == [
        {"req_id": "8", "op": "unsubscribe", "args": ["tickers.BTCUSDT"]},
    ]
    assert json.loads(listed().ping()) == {"op": "ping"}


def test_one_native_symbol_is_two_markets():
    bybit = listed()
    assert bybit.parse(trade(), 5, LINEAR) == [
        Trade("bybit", PERPETUAL, T * NS, 5, "ws", "20f43950", "16578.50", "0.001", "buy")
    ]
    (spot,) = bybit.parse(trade(S="Sell"), 6, SPOT)
    assert (spot.symbol, spot.side) == ("BTC/USDT", "sell")


def test_a_trade_comes_once_however_often_it_is_sent():
    bybit = listed()
    assert len(bybit.parse(trade(), 5, LINEAR)) == 1
    assert bybit.parse(trade(), 6, LINEAR) == []
    assert bybit.duplicates == Counter(trade=1)
    (event,) = bybit.parse(trade(i="other"), 7, LINEAR)
    assert not bybit.fresh(event)
    assert bybit.fresh(Trade("bybit", "BTC/USDT", 1, 1, "backfill", "other", "1", "1", "buy"))


def test_frames_of_a_connection_that_leads_nowhere_are_malformed():
    with pytest.raises(MalformedFrame, match="no category"):
        listed().parse(trade(), 1, 9)
    with pytest.raises(MalformedFrame, match="unknown symbol 'BTCUSD' of spot"):
        listed().parse(frame("publicTrade.BTCUSD", []), 1, SPOT)


def test_a_book_goes_on_by_one_and_a_snapshot_starts_it_anew():
    bybit = listed()
    (first,) = bybit.parse(book(10, "snapshot"), 1, LINEAR)
    (second,) = bybit.parse(book(11), 2, LINEAR)
    assert (first.kind, first.last_id, first.ts) == ("snapshot", 10, (T - 2) * NS)
    assert (second.kind, second.first_id, second.last_id, second.prev_id) == ("delta", 11, 11, 10)
    (restarted,) = bybit.parse(book(1, "snapshot"), 3, LINEAR)
    (after,) = bybit.parse(book(2), 4, LINEAR)
    assert (restarted.last_id, after.prev_id, bybit.resyncs) == (1, 1, 0)


def test_a_missing_delta_breaks_that_book_alone_and_is_told_once():
    bybit = listed()
    for connection in (SPOT, LINEAR):
        bybit.parse(book(10, "snapshot"), 1, connection)
    assert bybit.parse(book(12), 2, LINEAR) == bybit.parse(book(13), 3, LINEAR) == []
    (notice,) = bybit.notices
    assert (notice.kind, notice.feeds, bybit.resyncs) == ("resync", (FeedKey(PERPETUAL, "book"),), 1)
    assert "stands at 10, the next update is 12" in notice.text
    assert [event.last_id for event in bybit.parse(book(11), 4, SPOT)] == [11]
    assert len(bybit.parse(book(20, "snapshot"), 5, LINEAR) + bybit.parse(book(21), 6, LINEAR)) == 2


def test_a_book_follows_the_connection_whose_snapshot_came_last_and_outlives_it():
    bybit = listed()
    bybit.connected(7, URLS[LINEAR])
    bybit.parse(book(10, "snapshot"), 1, LINEAR)
    bybit.parse(book(11, "snapshot"), 2, 7)
    assert bybit.parse(book(11), 3, LINEAR) == []
    assert bybit.duplicates == Counter(book=1)
    bybit.lost([], 7)
    assert bybit.parse(book(12), 4, LINEAR) == []
    assert [notice.kind for notice in bybit.notices] == ["resync"]


def test_a_ticker_message_carries_four_listed():
    head = ("bybit", PERPETUAL, T * NS, 5, "ws")
    expected = [
        Ticker(
            *head, "17215.50", "84.489", "17216.00", "83.020", "17216.00", "16926.50", "17281.50", "16915.00",
            "91705.276", "1570383121.943499",
        ),
        Funding(*head, "-0.000212", 1673280000000 * NS),
        MarkPrice(*head, "17217.33", "17227.36"),
        OpenInterest(*head, "68744.761", "1183601235.91"),
    ]  # fmt: skip
    assert listed().parse(tickers(**FULL), 5, LINEAR) == expected
    assert {type(event) for event in expected} == listed().bundled


def test_a_delta_changes_what_it_names_and_tells_the_whole():
    bybit = listed()
    assert bybit.parse(tickers("delta", lastPrice="1"), 4, LINEAR) == []  # what it changes is not known yet
    assert len(bybit.parse(tickers(**FULL), 5, LINEAR)) == 4
    (event,) = bybit.parse(tickers("delta", ts=T + 1, bid1Price="17215.00"), 6, LINEAR)
    assert (event.bid, event.bid_size, event.last) == ("17215.00", "84.489", "17216.00")
    (mark,) = bybit.parse(tickers("delta", ts=T + 2, markPrice="17218.00"), 7, LINEAR)
    assert (mark.mark, mark.index) == ("17218.00", "17227.36")
    assert bybit.parse(tickers("delta", ts=T + 3, price24hPcnt="0.1"), 8, LINEAR) == []
    assert bybit.parse(tickers("delta", ts=T, markPrice="1"), 9, LINEAR) == []  # older than what is known
    assert bybit.duplicates == Counter(ticker=2)
    assert len(bybit.parse(tickers(**FULL, ts=T + 4), 10, LINEAR)) == 4


def test_a_malformed_delta_changes_nothing():
    bybit = listed()
    bybit.parse(tickers(**FULL), 5, LINEAR)
    with pytest.raises(MalformedFrame):
        bybit.parse(tickers("delta", ts=T + 1, bid1Price="NaN"), 6, LINEAR)
    (event,) = bybit.parse(tickers("delta", ts=T + 1, ask1Price="17217.00"), 7, LINEAR)
    assert (event.bid, event.ask) == ("17215.50", "17217.00")


def test_inverse_contracts_are_counted_in_dollars():
    bybit = listed()
    ticker, _, _, interest = bybit.parse(tickers(topic="tickers.BTCUSD", **FULL), 5, INVERSE)
    assert (interest.amount, interest.value) == ("1183601235.91", "68744.761")
    assert (ticker.volume, ticker.quote_volume) == ("91705.276", None)


def test_empty_and_zero_prices_are_none():
    bybit = listed()
    fields = FULL | {"bid1Price": "", "bid1Size": "", "ask1Price": "0", "ask1Size": "0", "fundingRate": ""}
    event, *others = bybit.parse(tickers(**fields), 5, LINEAR)
    assert [type(other) for other in others] == [MarkPrice, OpenInterest]
    assert (event.bid, event.bid_size, event.ask, event.ask_size, event.last) == (None, None, None, None, "17216.00")


def test_spot_quotes_come_from_the_first_level():
    bybit, topic = listed(), "orderbook.1.BTCUSDT"
    (event,) = bybit.parse(book(1, "snapshot", topic, [["10", "1"]], [["11", "2"]]), 5, SPOT)
    assert event == Ticker("bybit", "BTC/USDT", (T - 2) * NS, 5, "ws", "10", "1", "11", "2")
    assert bybit.parse(book(1, "snapshot", topic, [["10", "1"]], [["11", "2"]]), 6, SPOT) == []
    (moved,) = bybit.parse(book(2, "delta", topic, [["10", "0"], ["9", "3"]], []), 7, SPOT)
    assert (moved.bid, moved.bid_size, moved.ask) == ("9", "3", "11")
    (emptied,) = bybit.parse(book(3, "delta", topic, [["9", "0"]], []), 8, SPOT)
    assert (emptied.bid, emptied.ask) == (None, "11")


def test_candles():
    bybit = listed()
    assert bybit.parse(kline(), 5, LINEAR) == [
        Candle(
            "bybit", PERPETUAL, 1672324988882 * NS, 5, "ws", "5m", 1672324800000 * NS, "16649.5", "16677", "16608",
            "16677", "2.081", None, closed=False,
        )
    ]  # fmt: skip
    assert bybit.parse(kline(), 6, LINEAR) == []
    (closed,) = bybit.parse(kline(confirm=True, timestamp=1672325100000), 7, LINEAR)
    assert closed.closed
    with pytest.raises(MalformedFrame, match="before it opens"):
        bybit.parse(kline(end=1), 8, LINEAR)


def test_liquidations_sell_what_was_long():
    bybit = listed()
    first, second = bybit.parse(liquidations({"S": "Buy"}, {}), 5, LINEAR)
    assert first == Liquidation("bybit", PERPETUAL, T * NS, 5, "ws", None, "sell", "0.04499", "20000")
    assert (second.side, second.recv) == ("buy", 6)
    assert bybit.parse(liquidations({}), 9, LINEAR) == []
    assert bybit.duplicates == Counter(liquidation=1)


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ('{"success":true,"ret_msg":"subscribe","conn_id":"x","req_id":"3","op":"subscribe"}', "control", None),
        ('{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}', "control", None),
        ('{"success":false,"ret_msg":"error:handler not found","req_id":"3","op":"subscribe"}', "refused", 3),
        ('{"success":false,"ret_msg":"error:already subscribed","req_id":"3","op":"subscribe"}', "control", None),
        ('{"topic":"insurance.USDT","data":{}}', "unknown", None),
        ("[]", "unknown", None),
    ],
)
def test_what_is_no_data_is_a_notice(text, kind, number):
    bybit = listed()
    assert bybit.parse(text.encode(), 1, LINEAR) == []
    (notice,) = bybit.notices
    assert (notice.kind, notice.message_id) == (kind, number)


def test_a_frame_that_is_half_bad_leaves_no_trace():
    bybit = listed()
    good = json.loads(trade())["data"][0]
    with pytest.raises(MalformedFrame):
        bybit.parse(frame("publicTrade.BTCUSDT", [good, good | {"i": "x", "p": "0"}]), 1, LINEAR)
    assert len(bybit.parse(trade(), 2, LINEAR)) == 1


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_level_that_is_no_price_makes_a_book_message_malformed(kind, side):
    with pytest.raises(MalformedFrame):
        listed().parse(book(1, kind, **{"bids": (), "asks": (), side: [("-1", "1")]}), 1, LINEAR)


def test_only_books_start_anew_when_their_feed_is_lost():
    bybit = listed()
    bybit.parse(trade(), 1, LINEAR)
    bybit.parse(book(10, "snapshot"), 1, LINEAR)
    bybit.lost([FeedKey(PERPETUAL, "book"), FeedKey(PERPETUAL, "trade")])
    assert bybit.parse(trade(), 2, LINEAR) == []
    assert bybit.parse(book(11), 3, LINEAR) == []
    assert isinstance(bybit.parse(book(12, "snapshot"), 4, LINEAR)[0], Book)


def test_an_unreadable_message_of_trades_tells_its_feed():
    bybit = listed()
    whole = trade()
    told = {connection: bybit.torn(whole[:-9], connection) for connection in URLS}
    assert {feed.symbol for feeds in told.values() for feed in feeds or ()} >= {"BTC/USDT", "BTC/USDT:USDT"}
    assert {feed.channel for feeds in told.values() for feed in feeds or ()} == {"trade"}
    for damaged in (
        b"{" + whole[12:], whole.replace(b"public", b"pubic"), whole.replace(b"publicTrade.BTC", b"publicTrade.0TC"),
        whole[60:], whole[:60],
    ):  # fmt: skip
        assert {connection: bybit.torn(damaged, connection) for connection in URLS} == told
    for damaged in (whole[:20], b"{", b'{"topic":"publicTrade.NOSUCH"', whole[-40:]):
        assert bybit.torn(damaged, LINEAR) is None
    for unknown in (whole.replace(b"publicT", b"publiT"), whole.replace(b'"topic"', b'"topc"')):
        with pytest.raises(MalformedFrame):
            bybit.parse(unknown, 1, LINEAR)
        assert bybit.torn(unknown, LINEAR) == told[LINEAR]
    for other in (book(1), book(1)[:-20], tickers()[:-9], liquidations({})[:-9], b""):
        assert bybit.torn(other, LINEAR) == []


def test_a_listed_symbol_that_nobody_has_subscribed_to_is_malformed():
    bybit = listed()
    bybit.subscribe(["publicTrade.BTCUSDT"], 1)
    assert len(bybit.parse(trade(), 1, LINEAR)) == 1
    for damaged, about in (
        (trade(i="7").replace(b"BTCUSDT", b"BTC-27DEC24", 1), [FeedKey("BTC/USDT:USDT", "trade")]),
        (trade(i="7").replace(b"BTCUSDT", b"BTC-27DEC24"), None),
    ):
        with pytest.raises(MalformedFrame, match="BTC-27DEC24"):
            bybit.parse(damaged, 2, LINEAR)
        assert bybit.torn(damaged, LINEAR) == about
