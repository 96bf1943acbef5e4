"""Coinbase: what is subscribed to, what each message becomes, what a missing message does."""

import json
from collections import Counter

import pytest
from coinbase_payloads import NS, bar, book, candles, frame, heartbeat, item, listed, ticker, trades

from bus.errors import ConfigError, MalformedFrame
from bus.events import Book, Candle, Ticker, Trade
from daemon.exchanges.base import FeedKey

BOOK = FeedKey("BTC/USD", "book")
HEAD = ("coinbase", "BTC/USD", NS, 5, "ws")


def told(coinbase) -> list:
    return [(notice.kind, notice.feeds) for notice in coinbase.notices]


@pytest.mark.parametrize(
    ("feed", "streams"),
    [
        (FeedKey("BTC/USD", "trade"), ["market_trades:BTC-USD"]),
        (FeedKey("CELO/EUR", "ticker"), ["ticker:CGLD-EUR"]),
        (FeedKey("BTC/USD", "book"), ["level2:BTC-USD"]),
        (FeedKey("BTC/USD", "candle", "5m"), ["candles:BTC-USD"]),
        (FeedKey("BTC/USD", "candle", "1m"), []),
    ],
)
def test_a_feed_is_a_channel_of_a_product(feed, streams):
    coinbase = listed()
    assert coinbase.streams(feed) == streams
    assert coinbase.url("wss://advanced-trade-ws.coinbase.com/", feed) == "wss://advanced-trade-ws.coinbase.com"
    assert (coinbase.polls(feed) is None) == bool(streams)


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (FeedKey("XBT/USD", "trade"), "did you mean BTC/USD"),
        (FeedKey("BTC/USDC", "book"), "coinbase streams BTC/USDC as BTC/USD"),
        (FeedKey("BTC/USD", "funding"), "no channel 'funding'"),
        (FeedKey("BTC/USD", "candle", "4h"), "no timeframe '4h'"),
    ],
)
def test_a_feed_that_coinbase_lacks_is_refused_with_a_sentence(feed, said):
    with pytest.raises(ConfigError, match=said):
        listed().streams(feed)


def test_a_subscription_is_a_message_for_each_channel():
    first, second = listed().subscribe(["level2:BTC-USD", "market_trades:BTC-USD", "level2:CGLD-EUR"], 7)
    assert json.loads(first) == {"type": "subscribe", "product_ids": ["BTC-USD", "CGLD-EUR"], "channel": "level2"}
    assert json.loads(second) == {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "market_trades"}
    (message,) = listed().unsubscribe(["ticker:BTC-USD"], 8)
    assert json.loads(message) == {"type": "unsubscribe", "product_ids": ["BTC-USD"], "channel": "ticker"}
    assert json.loads(listed().ping()) == {"type": "subscribe", "channel": "heartbeats"}


def test_trades_come_once_in_order_with_the_takers_side():
    coinbase = listed()
    first = Trade(*HEAD, "12344", "1260.01", "0.3", "sell")
    second = Trade(*HEAD, "12345", "1260.01", "0.3", "buy")
    assert coinbase.parse(trades(0, item(12345, side="SELL"), item(12344)), 5) == [first, second]
    assert coinbase.parse(trades(1, item(12345)), 6) == []
    assert coinbase.duplicates == Counter(trade=1)
    assert not coinbase.fresh(first)


def test_the_snapshot_of_trades_fills_what_a_broken_connection_missed_and_no_more():
    coinbase = listed()
    recent = [item(identity) for identity in (9, 8, 7)]
    assert coinbase.parse(trades(0, *recent, kind="snapshot"), 1) == []
    coinbase.parse(trades(1, item(7)), 2)
    assert [e.id for e in coinbase.parse(trades(0, *recent, kind="snapshot"), 3, 2)] == ["8", "9"]
    assert not coinbase.duplicates
    assert coinbase.parse(trades(2, item(9)), 4) == []


def test_the_first_trade_ever_is_known_when_a_snapshot_repeats_it():
    coinbase = listed()
    coinbase.parse(trades(0, item(0)), 1)
    repeated = trades(1, item(0), item(1, trade_id="007"), kind="snapshot")
    assert [event.id for event in coinbase.parse(repeated, 2)] == ["7"]
    assert not coinbase.duplicates


def test_a_book_is_published_while_no_message_is_missing():
    coinbase = listed()
    bids, asks = [("21921.73", "0.06317902"), ("21921.3", "0.02")], [("21921.74", "1")]
    assert coinbase.parse(book(0, bids, asks, "snapshot"), 5) == [Book(*HEAD, "snapshot", bids, asks)]
    assert coinbase.parse(heartbeat(1), 6) == []
    assert coinbase.parse(book(2, (), [("21921.74", "0")]), 5) == [Book(*HEAD, "delta", [], [("21921.74", "0")])]
    assert [notice.kind for notice in coinbase.notices] == ["control"]


@pytest.mark.parametrize("following", [trades(3), heartbeat(3), book(3), candles(3), ticker(3)])
def test_any_missing_message_breaks_all_books_of_its_connection_and_no_other(following):
    coinbase = listed()
    for connection, of in ((1, "BTC-USD"), (1, "CGLD-EUR"), (2, "ETH-EUR")):
        coinbase.parse(book(int(of == "CGLD-EUR"), kind="snapshot", of=of), 1, connection)
    coinbase.parse(following, 2, 1)  # message 2 is missing
    ((kind, feeds),) = [notice for notice in told(coinbase) if notice[0] == "resync"]
    assert (kind, set(feeds), coinbase.resyncs) == ("resync", {BOOK, FeedKey("CELO/EUR", "book")}, 2)
    assert coinbase.parse(book(4), 3, 1) == coinbase.parse(book(5, of="CGLD-EUR"), 4, 1) == []
    assert len(coinbase.parse(book(1, of="ETH-EUR"), 5, 2)) == 1
    assert len(coinbase.parse(book(6, kind="snapshot"), 6, 1) + coinbase.parse(book(7), 7, 1)) == 2
    assert coinbase.resyncs == 2


def test_a_message_that_comes_again_or_late_changes_no_book():
    coinbase = listed()
    coinbase.parse(book(0, kind="snapshot"), 1)
    coinbase.parse(book(1), 2)
    assert coinbase.parse(book(1), 3) == coinbase.parse(book(0, kind="snapshot"), 4) == []
    assert len(coinbase.parse(book(2), 5)) == 1
    assert (coinbase.duplicates, coinbase.resyncs) == (Counter(book=2), 0)


def counted(coinbase, upto: int) -> None:
    for number in range(upto):
        coinbase.parse(book(number, [("10", "1")], kind="update" if number else "snapshot"), 1)


def test_late_messages_that_go_on_counting_break_the_books_once_more():
    """Coinbase has begun to count anew; or a number a little too high was believed, and a break asked for."""
    for believed in (None, 700):
        coinbase = listed()
        counted(coinbase, 50)
        begun = 0 if believed is None else 51
        if believed is not None:
            coinbase.parse(book(believed, [("10", "1")]), 1)
            assert told(coinbase) == [("resync", (BOOK,))]
            coinbase.notices.clear()
        for number in range(begun, begun + 11):  # the snapshot that was asked for is among them
            assert not told(coinbase)
            kind = "snapshot" if number == begun + 2 else "update"
            assert coinbase.parse(book(number, [("10", "2")], kind=kind), 1) == []
        assert told(coinbase) == [("resync", (BOOK,))]
        (event,) = coinbase.parse(book(begun + 11, [("11", "1")], kind="snapshot"), 1)
        assert (event.kind, event.bids) == ("snapshot", [("11", "1")])
        assert len(coinbase.parse(book(begun + 12, [("10", "2")]), 1)) == 1


def test_one_number_that_is_far_ahead_is_a_missing_message():
    coinbase = listed()
    counted(coinbase, 50)
    assert coinbase.parse(book(77_777_777, [("10", "1")]), 1) == []
    assert not told(coinbase)
    assert coinbase.parse(book(51, [("10", "1")]), 1) == []
    assert told(coinbase) == [("resync", (BOOK,))]
    assert len(coinbase.parse(book(52, [("11", "1")], kind="snapshot"), 1)) == 1
    assert len(coinbase.parse(book(53, [("10", "2")]), 1)) == 1


def test_counting_that_goes_on_far_ahead_is_followed():
    coinbase = listed()
    counted(coinbase, 50)
    assert coinbase.parse(book(9_000, [("10", "1")]), 1) == []
    assert coinbase.parse(book(9_001, [("10", "1")]), 1) == []
    assert told(coinbase) == [("resync", (BOOK,))]
    assert len(coinbase.parse(book(9_002, [("11", "1")], kind="snapshot"), 1)) == 1


def test_messages_that_all_come_twice_change_nothing():
    coinbase = listed()
    for number in range(50):
        frame = book(number, [("10", "1")], kind="update" if number else "snapshot")
        assert [len(coinbase.parse(frame, 1)) for _ in range(2)] == [1, 0]
    assert not told(coinbase)


def test_an_update_before_any_snapshot_asks_for_one():
    coinbase = listed()
    assert coinbase.parse(book(0), 1) == coinbase.parse(book(1), 2) == []
    assert told(coinbase) == [("resync", (BOOK,))]


def test_a_book_follows_the_connection_whose_snapshot_came_last():
    coinbase = listed()
    for connection in (1, 2):
        coinbase.connected(connection, "wss://x")
        coinbase.parse(book(0, kind="snapshot"), 1, connection)
    assert coinbase.parse(book(1), 2, 1) == []
    assert len(coinbase.parse(book(1), 3, 2)) == 1
    coinbase.lost([], 2)
    assert coinbase.parse(book(2), 4, 1) == []
    assert told(coinbase) == [("resync", (BOOK,))]
    coinbase.connected(2, "wss://x")
    assert len(coinbase.parse(book(0, kind="snapshot"), 5, 2)) == 1


@pytest.mark.parametrize("damaged", [book(2, [("1", "-1")]), book(2).replace(b'"update"', b'"upd\xffte"')])
def test_an_update_that_cannot_be_read_breaks_its_book_alone(damaged):
    coinbase = listed()
    coinbase.parse(book(0, kind="snapshot"), 1)
    coinbase.parse(book(1, kind="snapshot", of="CGLD-EUR"), 1)
    with pytest.raises(MalformedFrame):
        coinbase.parse(damaged, 2)
    assert told(coinbase) == [("resync", (BOOK,))]
    assert len(coinbase.parse(book(3, of="CGLD-EUR"), 3)) == 1


@pytest.mark.parametrize(
    ("part", "instead", "broken"),
    [
        (b"l2_data", b"x2_data", {"BTC/USD"}), (b"BTC-USD", b"BTC-USX", {"BTC/USD", "CELO/EUR"}),
        (b'"events"', b'"evexts"', {"BTC/USD", "CELO/EUR"}), (b'"product_id"', b'"x"', {"BTC/USD", "CELO/EUR"}),
    ],
)  # fmt: skip
def test_a_book_message_that_may_have_been_about_any_book_breaks_all_of_its_connection(part, instead, broken):
    coinbase = listed()
    coinbase.subscribe(["level2:BTC-USD", "level2:CGLD-EUR", "level2:ETH-EUR"], 1)
    for connection, of in ((1, "BTC-USD"), (1, "CGLD-EUR"), (2, "ETH-EUR")):
        coinbase.parse(book(int(of == "CGLD-EUR"), kind="snapshot", of=of), 1, connection)
    with pytest.raises(MalformedFrame):
        coinbase.parse(book(2).replace(part, instead), 2, 1)
    ((kind, feeds),) = told(coinbase)
    assert (kind, {feed.symbol for feed in feeds}) == ("resync", broken)
    assert len(coinbase.parse(book(1, of="ETH-EUR"), 3, 2)) == 1


def test_a_damaged_message_of_another_connection_breaks_no_book():
    coinbase = listed()
    for connection in (1, 2):
        coinbase.parse(book(0, kind="snapshot"), 1, connection)
    for number, kind in ((1, "update"), (2, "snapshot")):
        with pytest.raises(MalformedFrame):
            coinbase.parse(book(number, [("1", "-1")], kind=kind), 3, 1)
    assert not coinbase.notices


def test_a_product_that_nobody_has_subscribed_to_is_malformed():
    coinbase = listed()
    coinbase.subscribe(["market_trades:BTC-USD"], 1)
    with pytest.raises(MalformedFrame, match="BTC-USX"):
        coinbase.parse(trades(0, item(1, "BTC-USX")), 1)
    assert len(coinbase.parse(trades(1, item(2)), 2)) == 1


def test_a_snapshot_that_cannot_be_read_is_asked_for_again():
    coinbase = listed()
    coinbase.parse(book(0, kind="snapshot"), 1)
    coinbase.parse(book(2), 2)  # message 1 is missing
    for number in (3, 4):
        with pytest.raises(MalformedFrame):
            coinbase.parse(book(number, [("1", "-1")], kind="snapshot"), number)
    with pytest.raises(MalformedFrame):
        coinbase.parse(book(5, [("1", "-1")]), 5)
    assert coinbase.resyncs == 3
    assert len(coinbase.parse(book(6, kind="snapshot"), 6)) == 1


def test_a_message_that_cannot_be_read_at_all_shows_in_the_next_number():
    coinbase = listed()
    coinbase.parse(book(0, kind="snapshot"), 1)
    with pytest.raises(MalformedFrame):
        coinbase.parse(book(1)[:50], 2)
    assert coinbase.parse(book(2), 3) == []
    assert told(coinbase) == [("resync", (BOOK,))]


def test_a_bad_ticker_costs_no_book():
    coinbase = listed()
    coinbase.parse(book(0, kind="snapshot"), 1)
    with pytest.raises(MalformedFrame):
        coinbase.parse(ticker(1, best_bid="NaN"), 2)
    assert len(coinbase.parse(book(2), 3)) == 1


def test_several_products_in_one_message():
    coinbase = listed()
    two = [json.loads(book(0, kind="snapshot", of=of))["events"][0] for of in ("BTC-USD", "CGLD-EUR")]
    assert [event.symbol for event in coinbase.parse(frame("l2_data", 0, *two), 1)] == ["BTC/USD", "CELO/EUR"]


def test_tickers():
    coinbase = listed()
    figures = ("21931.98", "8000.21", "21933.98", "8038.07770938", "21932.98", None, "23011.18", "21835.29")
    assert coinbase.parse(ticker(0), 5) == [Ticker(*HEAD, *figures, "16038.28770938")]
    older = "2023-02-09T20:32:50.714964854Z"
    assert coinbase.parse(ticker(1), 6) == coinbase.parse(ticker(2, time=older, price="1"), 7) == []
    assert coinbase.duplicates == Counter(ticker=2)
    (bare,) = coinbase.parse(ticker(3, best_bid="", best_ask_quantity="", price="0"), 8)
    assert (bare.bid, bare.bid_size, bare.ask, bare.ask_size, bare.last) == (None, None, "21933.98", None, None)


def test_a_candle_is_closed_when_the_next_one_has_come():
    coinbase = listed()
    opened = 1688998200 * 1_000_000_000
    values = ("1867.38", "1867.72", "1865.63", "1866.81", "0.20269406", None)
    assert coinbase.parse(candles(0, bar(1688997900), bar(), kind="snapshot"), 5) == [
        Candle(*HEAD, "5m", opened, *values, closed=False)
    ]
    assert coinbase.parse(candles(1), 6) == []
    (grown,) = coinbase.parse(candles(2, bar(volume="0.3")), 7)
    assert (grown.volume, grown.closed) == ("0.3", False)
    closed, following = coinbase.parse(candles(3, bar(1688998500, "0.1")), 8)
    assert (closed.volume, closed.closed, closed.open_ts) == ("0.3", True, opened)
    assert (following.volume, following.closed) == ("0.1", False)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (heartbeat(0), "control"),
        (frame("subscriptions", 0, {"subscriptions": {"level2": ["BTC-USD"]}}), "control"),
        (b'{"type":"error","message":"channel tickers does not exist"}', "refused"),
        (frame("status", 0, {"type": "snapshot", "products": []}), "unknown"),
        (b"[]", "unknown"),
    ],
)
def test_what_is_no_data_is_a_notice(answer, kind):
    coinbase = listed()
    assert coinbase.parse(answer, 1) == []
    assert told(coinbase) == [(kind, ())]


def test_a_product_that_no_list_names_has_its_own_codes():
    coinbase = listed()
    assert coinbase.parse(trades(0, item(1, "ETH-EUR")), 1)[0].symbol == "ETH/EUR"
    with pytest.raises(MalformedFrame, match="unknown product"):
        coinbase.parse(trades(1, item(1, "BTC-PERP-INTX")), 1)


def test_a_frame_that_is_half_bad_leaves_no_trace():
    coinbase = listed()
    with pytest.raises(MalformedFrame):
        coinbase.parse(trades(0, item(12345), item(5, price="0")), 1)
    assert len(coinbase.parse(trades(1), 2)) == 1


def test_other_spacing_is_read_all_the_same():
    coinbase = listed()
    spaced = json.dumps(json.loads(book(0, kind="snapshot"))).encode()
    assert coinbase.parse(spaced, 1) == listed().parse(book(0, kind="snapshot"), 1)
    assert len(coinbase.parse(json.dumps(json.loads(book(1))).encode(), 2)) == 1
