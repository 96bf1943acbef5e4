"""Kraken: what is subscribed to, what each message becomes, what a wrong checksum does."""

import json
from collections import Counter
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kraken_payloads import NS, T, book, checksum, frame, listed, ohlc, ohlc_item, ticker, trade, trade_item

from bus.book import BookBuilder
from bus.errors import ConfigError, MalformedFrame
from bus.events import Candle, Ticker, Trade
from daemon.exchanges.base import FeedKey
from daemon.exchanges.kraken_book import CHECKED, DEPTH, KrakenBook

BOOK = FeedKey("BTC/USD", "book")
BIDS = [("45283.5", "0.10000000"), ("45283.4", "1.54582015")]
ASKS = [("45285.2", "0.00100000"), ("45286.4", "1.54571953")]


def begun(kraken, connection: int = 0, **more) -> list:
    return kraken.parse(book(BIDS, ASKS, checksum(BIDS, ASKS), "snapshot", **more), 1, connection)


@pytest.mark.parametrize(
    ("feed", "streams"),
    [
        (FeedKey("BTC/USD", "trade"), ["trade:BTC/USD"]),
        (FeedKey("DOGE/USD", "ticker"), ["ticker:DOGE/USD"]),
        (FeedKey("BTC/USD", "book"), ["book:BTC/USD"]),
        (FeedKey("BTC/USD", "candle", "4h"), ["ohlc-240:BTC/USD"]),
    ],
)
def test_a_feed_is_a_channel_of_a_pair(feed, streams):
    kraken = listed()
    assert kraken.streams(feed) == streams
    assert kraken.url("wss://ws.kraken.com/", feed) == "wss://ws.kraken.com/v2"


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (FeedKey("XBT/USD", "trade"), "did you mean BTC/USD"),
        (FeedKey("BTC/USD", "funding"), "no channel 'funding'"),
        (FeedKey("BTC/USD", "candle", "2h"), "no timeframe '2h'"),
    ],
)
def test_a_feed_that_kraken_lacks_is_refused_with_a_sentence(feed, said):
    with pytest.raises(ConfigError, match=said):
        listed().streams(feed)


def test_a_subscription_is_a_message_for_each_channel():
    first, second = listed().subscribe(["trade:BTC/USD", "ohlc-5:BTC/USD", "trade:DOGE/USD"], 7)
    assert json.loads(first) == {
        "method": "subscribe", "req_id": 7,
        "params": {"channel": "ohlc", "interval": 5, "symbol": ["BTC/USD"], "snapshot": True},
    }  # fmt: skip
    assert json.loads(second)["params"] == {"channel": "trade", "symbol": ["BTC/USD", "DOGE/USD"], "snapshot": True}
    (book_message,) = listed().unsubscribe(["book:BTC/USD"], 8)
    assert json.loads(book_message)["params"] == {"channel": "book", "depth": 1000, "symbol": ["BTC/USD"]}
    assert json.loads(listed().ping()) == {"method": "ping"}


def test_trades_come_once_in_their_own_digits():
    kraken = listed()
    event = Trade("kraken", "BTC/USD", NS, 5, "ws", "4665906", "0.5117", "40.0", "sell")
    assert kraken.parse(trade(), 5) == [event]
    assert kraken.parse(trade(), 6) == []
    assert kraken.duplicates == Counter(trade=1)
    assert not kraken.fresh(event)


def test_the_snapshot_of_trades_fills_what_a_broken_connection_missed_and_no_more():
    kraken = listed()
    recent = [trade_item(identity) for identity in (7, 8, 9)]
    assert kraken.parse(frame("trade", *recent, kind="snapshot"), 1) == []
    kraken.parse(trade(7), 2)
    assert [event.id for event in kraken.parse(frame("trade", *recent, kind="snapshot"), 3)] == ["8", "9"]
    assert not kraken.duplicates
    assert kraken.parse(trade(9), 4) == []


def test_the_first_trade_ever_is_known_when_a_snapshot_repeats_it():
    kraken = listed()
    kraken.parse(trade(0), 1)
    twice = frame("trade", trade_item(0), trade_item(1), trade_item(1), kind="snapshot")
    assert [event.id for event in kraken.parse(twice, 2)] == ["1"]
    assert kraken.duplicates == Counter(trade=1)


def test_a_book_is_published_while_its_checksums_hold():
    kraken = listed()
    (first,) = begun(kraken)
    assert (first.kind, first.bids, first.asks, first.ts) == ("snapshot", BIDS, ASKS, NS)
    after = [("45283.5", "0.2"), BIDS[1]]
    crc = checksum(after, ASKS[1:])
    (second,) = kraken.parse(book([after[0]], [("45285.2", "0.00000000")], crc), 2)
    assert (second.kind, second.bids, second.asks, second.checksum) == (
        "delta", [("45283.5", "0.2")], [("45285.2", "0.00000000")], crc,
    )  # fmt: skip
    assert kraken.resyncs == 0


def test_the_checksum_covers_ten_levels_of_each_side_asks_first_without_dots_and_leading_zeros():
    asks = [(f"0.0{price}", "0.00000500") for price in range(5005, 5060, 5)]
    bids = [(f"0.0{price}", "0.00000500") for price in range(5000, 4945, -5)]
    text = "".join(f"{price}500" for price in (*range(5005, 5055, 5), *range(5000, 4950, -5)))
    assert checksum(bids, asks) == crc32(text.encode())


def test_a_wrong_checksum_breaks_that_book_alone_and_is_told_once():
    kraken = listed()
    begun(kraken)
    begun(kraken, symbol="DOGE/USD")
    wrong = book([("45283.5", "0.2")], (), 1)
    assert kraken.parse(wrong, 2) == kraken.parse(wrong, 3) == []
    (notice,) = kraken.notices
    assert (notice.kind, notice.feeds, kraken.resyncs) == ("resync", (BOOK,), 1)
    assert kraken.duplicates == Counter(book=1)
    crc = checksum([*BIDS, ("1.0", "1")], ASKS)
    assert len(kraken.parse(book([("1.0", "1")], (), crc, symbol="DOGE/USD"), 4)) == 1
    assert len(begun(kraken) + kraken.parse(book([("1.0", "1")], (), crc), 5)) == 2


def test_an_update_that_cannot_be_read_breaks_its_book():
    kraken = listed()
    begun(kraken)
    with pytest.raises(MalformedFrame):
        kraken.parse(book([("45283.5", "-1")], (), 1), 2)
    assert [notice.feeds for notice in kraken.notices] == [(BOOK,)]


def test_a_snapshot_with_a_wrong_checksum_is_no_book():
    kraken = listed()
    assert kraken.parse(book(BIDS, ASKS, 1, "snapshot"), 1) == []
    assert [notice.kind for notice in kraken.notices] == ["resync"]


@pytest.mark.parametrize("crc", [2**63, -1])
def test_what_cannot_be_a_checksum_is_malformed(crc):
    kraken = listed()
    begun(kraken)
    with pytest.raises(MalformedFrame):
        kraken.parse(book(BIDS[1:], (), crc), 1)


@pytest.mark.parametrize("change", [("0.0", "1"), ("0.0", "0"), ("9" * 400, "1"), ("9" * 400, "0")])
def test_a_price_that_is_none_breaks_its_book(change):
    kraken = listed()
    for bids, asks in (([change], ()), ((), [change])):
        begun(kraken)
        with pytest.raises(MalformedFrame):
            kraken.parse(book(bids, asks, checksum(BIDS, ASKS)), 2)
        assert kraken.parse(book((), (), checksum(BIDS, ASKS)), 3) == []
    assert kraken.resyncs == 2


@pytest.mark.parametrize("name", ['"q1.0ty"', '"0qty"', '"qty."', '"pri5ce"'])
def test_digits_in_a_name_belong_to_no_number(name):
    kraken = listed()
    begun(kraken)
    whole = book([("0.7", "2.0"), ("0.6", "2.0"), ("0.5", "2.0")], (), checksum(BIDS, ASKS))
    usual = f'"{"".join(filter(str.isalpha, name))}"'
    with pytest.raises(MalformedFrame):
        kraken.parse(whole.replace(usual.encode(), name.encode(), 1), 2)
    assert [notice.feeds for notice in kraken.notices] == [(BOOK,)]


def test_a_number_with_very_many_zeros_is_malformed():
    kraken = listed()
    begun(kraken)
    with pytest.raises(MalformedFrame, match="zeros"):
        kraken.parse(book([("0.5", "0." + "0" * 201)], (), checksum(BIDS, ASKS)), 2)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([("5.1", "1"), ("0.0", "1")], [("6", "1")]), ([("0.0", "1")], []), ([("9" * 400, "1")], []),
        ([("5.1", "1"), ("5.2", "1")], []), ([("5.1", "1")], [("6.2", "1"), ("6.1", "1")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("space", [b"", b" "])
def test_a_snapshot_that_cannot_be_taken_breaks_its_book(bids, asks, space):
    kraken = listed()
    begun(kraken)
    with pytest.raises(MalformedFrame):
        kraken.parse(space + book(bids, asks, None, "snapshot"), 1)
    assert [notice.feeds for notice in kraken.notices] == [(BOOK,)]
    assert kraken.parse(book([("45.0", "1.0")], (), 7), 2) == []
    assert len(begun(kraken)) == 1


DEEP = [(f"{price}.0", "1.0") for price in range(40, 20, -1)]


@pytest.mark.parametrize("first", range(0, 180, 20))
@pytest.mark.parametrize("last", [None, -1, -40, -100])
def test_a_book_message_that_is_cut_breaks_its_book_or_all_of_its_connection(first, last):
    kraken = listed()
    for connection, symbol in ((0, "BTC/USD"), (0, "DOGE/USD"), (1, "ETH/EUR")):
        kraken.subscribe([f"book:{symbol}"], 1)
        kraken.parse(book(DEEP, (), checksum(DEEP, ()), "snapshot", symbol), 1, connection)
    update = book([("25.0", "7.0")], (), checksum(DEEP, ()))
    damaged = update[first:last]
    if damaged == update:
        assert len(kraken.parse(update, 2)) == 1
        return
    if not damaged:
        pytest.skip("nothing is left of it")
    with pytest.raises(MalformedFrame):
        kraken.parse(damaged, 2)
    broken = {feed.symbol for notice in kraken.notices for feed in notice.feeds}
    assert broken == ({"BTC/USD"} if b'"symbol":"BTC/USD"' in damaged else {"BTC/USD", "DOGE/USD"})


@pytest.mark.parametrize(
    ("part", "instead", "broken"),
    [
        (b'"book"', b'"boXk"', {"BTC/USD"}), (b"BTC/USD", b"BTC/USX", {"BTC/USD", "DOGE/USD"}),
        (b'"symbol"', b'"symbl"', {"BTC/USD", "DOGE/USD"}),
    ],
)  # fmt: skip
def test_a_book_message_that_may_have_been_about_any_book_breaks_all_of_its_connection(part, instead, broken):
    kraken = listed()
    kraken.subscribe(["book:BTC/USD", "book:DOGE/USD"], 1)
    for symbol in ("BTC/USD", "DOGE/USD"):
        kraken.parse(book(DEEP, (), checksum(DEEP, ()), "snapshot", symbol), 1)
    with pytest.raises(MalformedFrame):
        kraken.parse(book([("25.0", "7.0")], (), checksum(DEEP, ())).replace(part, instead), 2)
    (notice,) = kraken.notices
    assert {feed.symbol for feed in notice.feeds} == broken


def test_a_damaged_message_of_another_connection_breaks_no_book():
    kraken = listed()
    begun(kraken, 1)
    begun(kraken, 2)
    for kind in ("update", "snapshot"):
        with pytest.raises(MalformedFrame):
            kraken.parse(book(BIDS, (), 1, kind)[:-9], 3, 1)
    assert not kraken.notices


def test_a_damaged_message_about_something_else_breaks_no_book():
    kraken = listed()
    begun(kraken)
    for other in (trade(), ticker(), ohlc()):
        for damaged in (other[:-9], other[30:]):
            with pytest.raises(MalformedFrame):
                kraken.parse(damaged, 2)
    assert not kraken.notices


def test_a_pair_that_nobody_has_subscribed_to_is_malformed():
    kraken = listed()
    kraken.subscribe(["trade:BTC/USD"], 1)
    with pytest.raises(MalformedFrame, match="BTC/USX"):
        kraken.parse(trade(symbol="BTC/USX"), 1)
    assert len(kraken.parse(trade(), 2)) == 1


def test_a_snapshot_that_cannot_be_read_is_asked_for_again():
    kraken = listed()
    begun(kraken)
    kraken.parse(book(BIDS[:1], (), 7), 2)
    for recv in (3, 4):
        with pytest.raises(MalformedFrame):
            kraken.parse(book([("5.1", "-1")], (), None, "snapshot"), recv)
    with pytest.raises(MalformedFrame):
        kraken.parse(book([("5.1", "-1")], (), 7), 5)
    assert [notice.feeds for notice in kraken.notices] == [(BOOK,)] * 3
    assert len(begun(kraken)) == 1


def test_an_update_before_any_snapshot_asks_for_one():
    kraken = listed()
    assert kraken.parse(book(BIDS, (), 1), 1) == []
    assert [notice.feeds for notice in kraken.notices] == [(BOOK,)]


def test_a_book_follows_the_connection_whose_snapshot_came_last():
    kraken = listed()
    begun(kraken, 1)
    begun(kraken, 2)
    crc = checksum([*BIDS, ("1.0", "1")], ASKS)
    assert kraken.parse(book([("1.0", "1")], (), crc), 3, 1) == []
    assert len(kraken.parse(book([("1.0", "1")], (), crc), 4, 2)) == 1
    kraken.lost([], 2)
    assert kraken.parse(book([("1.0", "1")], (), crc), 5, 1) == []
    assert [notice.kind for notice in kraken.notices] == ["resync"]
    kraken.lost([BOOK], 1)
    assert len(begun(kraken, 1)) == 1


def test_levels_that_fall_out_of_the_depth_are_removed_for_everyone():
    kept = KrakenBook(CHECKED)
    full = [(f"{price}.0", "1") for price in range(20, 20 - CHECKED, -1)]
    kept.bids.reset(full)
    kept.asks.reset([("40.0", "1")])
    first, second, third = [("30.5", "1")], [("5.5", "1")], [("15.5", "1"), ("30.5", "0.00")]
    kept.bids.change(first)
    assert first == [("30.5", "1"), ("11.0", "0")]
    kept.bids.change(second)
    assert second == [("5.5", "1"), ("5.5", "0")]
    kept.bids.change(third)
    assert third == [("15.5", "1"), ("30.5", "0.00")]
    expected = [*full[:5], ("15.5", "1"), *full[5:-1]]
    assert kept.checksum() == checksum(expected, [("40.0", "1")])


prices = st.integers(1, 40).map(lambda n: f"{n / 10:.1f}")
levels = st.lists(st.tuples(prices, st.sampled_from(["0.00", "1.50", "0.03", "20.00"])), max_size=6)


@pytest.mark.parametrize("depth", [12, DEPTH])
@given(changes=st.lists(st.tuples(levels, levels), max_size=25))
def test_the_kept_book_is_the_one_that_subscribers_build(depth, changes):
    kraken, built, kept = listed(), BookBuilder(), KrakenBook(depth)
    kraken._market("BTC/USD").book = kept
    (snapshot,) = kraken.parse(book((), (), checksum([], []), "snapshot"), 1)
    assert built.apply(snapshot)
    for bids, asks in changes:
        mirror = listed()
        mirror._market("BTC/USD").chain.begin(0)
        mirror.parse(book(built.bids(99), built.asks(99), None, "snapshot"), 1)
        other = mirror._market("BTC/USD").book
        other.bids.change(bids)
        other.asks.change(asks)
        for event in kraken.parse(book(bids, asks, other.checksum()), 2):
            assert built.apply(event)
        assert kept.checksum() == checksum(built.bids(CHECKED), built.asks(CHECKED))
        for side, ours in ((kept.bids, built.bids(99)), (kept.asks, built.asks(99))):
            assert side._levels[CHECKED:] == ours[::-1]
            assert len(ours) <= depth
    assert not kraken.notices


def test_tickers():
    kraken = listed()
    figures = ("0.10025", "740.0", "0.10035", "740.0", "0.10035", None, "0.10285", "0.09979", "997038.98383185")
    assert kraken.parse(ticker(), 5) == [Ticker("kraken", "BTC/USD", NS, 5, "ws", *figures)]
    older = "2023-10-06T17:35:55.440294Z"
    assert kraken.parse(ticker(), 6) == kraken.parse(ticker(last="0.2", time=older), 7) == []
    assert kraken.duplicates == Counter(ticker=2)
    (empty,) = kraken.parse(ticker(bid="0.0", last="0"), 8)
    assert (empty.bid, empty.bid_size, empty.last, empty.ask) == (None, None, None, "0.10035")


def test_a_candle_is_closed_when_the_next_one_has_come():
    kraken = listed()
    opened = 1696436700 * 1_000_000_000
    values = ("0.5624", "0.5628", "0.5622", "0.5627", "30927.68066226", 12)
    sent = 1696436790524394914
    assert kraken.parse(ohlc(), 5) == [
        Candle("kraken", "BTC/USD", sent, 5, "ws", "5m", opened, *values, closed=False)
    ]  # fmt: skip
    assert kraken.parse(ohlc(), 6) == []
    (grown,) = kraken.parse(ohlc(ohlc_item("30928")), 7)
    assert (grown.volume, grown.closed) == ("30928", False)
    closed, following = kraken.parse(ohlc(ohlc_item("1", "2023-10-04T16:30:00.000000000Z")), 8)
    assert (closed.volume, closed.closed, closed.open_ts) == ("30928", True, opened)
    assert (following.volume, following.closed) == ("1", False)
    assert kraken.parse(ohlc(ohlc_item("30929")), 9) == []  # late: it is closed


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ('{"channel":"heartbeat"}', "control", None),
        ('{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}', "control", None),
        ('{"method":"pong","req_id":101,"time_in":"x","time_out":"y"}', "control", None),
        ('{"method":"subscribe","result":{"channel":"trade"},"success":true,"req_id":3}', "control", None),
        ('{"method":"subscribe","result":{"channel":"book","symbol":"BTC/USD"},"success":true}', "control", None),
        (
            '{"error":"Currency pair not supported XBT/EURO","method":"subscribe","req_id":42,"success":false}',
            "refused",
            42,
        ),
        ('{"error":"Already subscribed to one ore more of the symbols","method":"subscribe"}', "control", None),
        ('{"error":"Subscription Not Found","method":"unsubscribe","success":false}', "control", None),
        ('{"channel":"instrument","type":"update","data":{}}', "unknown", None),
        ("[]", "unknown", None),
    ],
)
def test_what_is_no_data_is_a_notice(text, kind, number):
    kraken = listed()
    assert kraken.parse(text.encode(), 1) == []
    (notice,) = kraken.notices
    assert (notice.kind, notice.message_id) == (kind, number)


def test_a_refusal_is_of_the_pair_that_it_names_alone():
    kraken = listed()
    refusal = {"error": "Currency pair not in trading", "method": "subscribe", "req_id": 4, "success": False}
    kraken.parse(json.dumps(refusal | {"symbol": "BTC/USD"}).encode(), 1)
    kraken.parse(json.dumps(refusal).encode(), 1)
    named, unnamed = kraken.notices
    assert {feed.symbol for feed in named.feeds} == {"BTC/USD"}
    assert {BOOK, FeedKey("BTC/USD", "candle", "5m")} <= set(named.feeds)
    assert (unnamed.feeds, unnamed.message_id) == ((), 4)


def test_a_pair_that_no_list_names_has_its_own_codes():
    kraken = listed()
    assert kraken.parse(trade(symbol="LUNA2/EUR"), 1)[0].symbol == "LUNA/EUR"
    with pytest.raises(MalformedFrame, match="unknown symbol"):
        kraken.parse(trade(symbol="nonsense"), 1)


def test_a_frame_that_is_half_bad_leaves_no_trace():
    kraken = listed()
    with pytest.raises(MalformedFrame):
        kraken.parse(frame("trade", trade_item(4665906), trade_item(5, "0.0")), 1)
    assert len(kraken.parse(trade(), 2)) == 1


def test_other_spacing_is_read_all_the_same():
    kraken = listed()
    begun(kraken)
    crc = checksum([*BIDS, ("1.0", "1")], ASKS)
    spaced = json.dumps(json.loads(book([("1.0", "1")], (), crc)))
    (event,) = kraken.parse(spaced.encode(), 2)
    assert event.bids == [("1.0", "1")]
    assert T in spaced
