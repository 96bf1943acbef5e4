"""What has been published is known, within a bound: trades by id or by likeness, candles by their values."""

from hypothesis import given
from hypothesis import strategies as st

from bus.events import Trade
from daemon.collectors.ccxt.memory import EQUALS, ROWS, TRADES, CandleMemory, Memory, TradeMemory
from daemon.exchanges.base import FeedKey

MINUTE = 60_000


def row(minute: int, close: str = "1") -> list:
    return [minute * MINUTE, "1", "1", "1", close, "5"]


def told(memory: CandleMemory, *rows) -> list[tuple[int, bool]]:
    return [(one[0] // MINUTE, closed) for one, closed in memory.changed(rows)]


def trade(identity: int | str, ts: int = 1, price: str = "1.0") -> Trade:
    return Trade("any", "A/B", ts, 1, "ws", str(identity), price, "2", "buy")


def test_a_trade_is_fresh_once_and_only_so_many_are_kept():
    memory = TradeMemory()
    assert [memory.fresh(trade(n % TRADES)) for n in range(2 * TRADES)] == [True] * TRADES + [False] * TRADES
    assert memory.fresh(trade("another"))
    assert memory.fresh(trade("0"))
    assert len(memory) == TRADES


def test_trades_that_come_again_under_other_ids_are_noticed():
    memory = TradeMemory()
    for number in range(10):
        memory.fresh(trade(number, ts=number))
    assert not memory.differently_named([])
    assert not memory.differently_named([trade(f"new {n}", ts=n) for n in range(100, 200)])
    assert not memory.differently_named([trade(n, ts=n, price="1.00") for n in range(5, 15)])
    assert memory.differently_named([trade(f"other {n}", ts=n, price="1.00") for n in range(5, 15)])
    assert not memory.differently_named([*(trade(n, ts=n) for n in range(10)), trade("a twin", ts=9)])


def test_what_is_forgotten_looks_familiar_no_more():
    memory = TradeMemory()
    for number in range(2 * TRADES):
        memory.fresh(trade(number, ts=number))
    assert not memory.differently_named([trade("x", ts=0)])
    assert memory.differently_named([trade("x", ts=2 * TRADES - 1)])


def test_digits_do_not_change_the_name_of_a_trade():
    data = {"timestamp": 5, "price": "1.50", "amount": 2e-7, "side": "buy"}
    again = data | {"price": 1.5, "amount": "0.00000020"}
    assert TradeMemory().name(data) == TradeMemory().name(again) == "5:1.5:0.0000002:buy:0"


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["1", "2"])), max_size=30), st.data())
def test_trades_without_ids_get_the_same_names_when_an_exchange_repeats_them(trades, data):
    rows = [{"timestamp": when, "price": price, "amount": "1", "side": "buy"} for when, price in trades]
    memory = TradeMemory()
    names = [memory.name(one) for one in rows]
    assert len(set(names)) == len(names)
    memory.reconnected()
    count = data.draw(st.integers(0, len(rows)))
    assert [memory.name(one) for one in rows[:count]] == names[:count]


def test_names_are_kept_within_a_bound():
    memory = TradeMemory()
    for number in range(EQUALS + 1):
        memory.name({"timestamp": number})
    assert memory.name({"timestamp": EQUALS}).endswith(":1")
    assert memory.name({"timestamp": 0}).endswith(":0")


def test_a_candle_is_closed_when_the_next_one_opens():
    memory = CandleMemory()
    assert told(memory, row(1)) == [(1, False)]
    assert told(memory, row(1)) == []
    assert told(memory, row(1, "2")) == [(1, False)]
    assert told(memory, row(2)) == [(1, True), (2, False)]
    assert told(memory, row(1, "3"), row(2)) == [(1, True)]
    memory.reconnected()
    assert told(memory, row(9)) == [(9, False)]


def test_many_old_candles_at_once_do_not_push_out_the_open_one():
    memory = CandleMemory()
    told(memory, row(100))
    told(memory, *map(row, range(3 * ROWS)))
    assert told(memory, row(101)) == [(100, True), (101, False)]


@given(st.lists(st.lists(st.integers(0, 40), max_size=8), max_size=20))
def test_whatever_comes_no_candle_newer_than_a_closed_one_is_lost(messages):
    memory, newest = CandleMemory(), -1
    for message in messages:
        news = told(memory, *map(row, message))
        newest = max([newest, *message])
        assert all(closed == (minute < newest) for minute, closed in news)
        assert [minute for minute, _ in news] == sorted(minute for minute, _ in news)


def test_nothing_is_kept_of_feeds_that_nobody_wants():
    memory = Memory()
    feeds = [FeedKey("A/B", "trade"), FeedKey("A/B", "book"), FeedKey("A/B", "candle", "1m"), FeedKey("A/B", "ticker")]
    before = memory.trades("A/B"), memory.book("A/B"), memory.candles(feeds[2])
    memory.forget(feeds)
    after = memory.trades("A/B"), memory.book("A/B"), memory.candles(feeds[2])
    assert all(one is not another for one, another in zip(before, after, strict=True))
