"""The latest prices by example, and that the order in which news comes does not matter."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Ticker, Trade
from daemon.prices.memory import STALE, LatestPrices, Quote, Statistics

NOW = 1_700_000_000 * SECOND
KEY = ("binance", "BTC/USDT")


def trade(price: str, ts: int | None = NOW, source: str = "ws") -> Trade:
    return Trade(*KEY, ts, NOW, source, "1", price, "0.1", "buy")


def ticker(ts: int = NOW, **fields: str) -> Ticker:
    return Ticker(*KEY, ts, NOW, "ws", **fields)


def quote(*news) -> Quote:
    prices = LatestPrices()
    for event in news:
        prices.take(event)
    (found,) = prices.quotes([KEY], NOW + 2 * SECOND)
    return found


def test_a_ticker_says_everything():
    found = quote(ticker(last="110.00", open="100", high="120", low="90.5", volume="7.25"))
    assert found == Quote(*KEY, NOW, 2.0, "110.00", "10.00", "10.0000", "7.25", "120", "90.5")


def test_a_newer_trade_moves_the_price_its_change_and_the_day_s_bounds():
    day = ticker(last="110", open="100", high="120", low="90", volume="7")
    above = quote(day, trade("121.5", NOW + SECOND))
    assert (above.age, above.price, above.change_24h, above.change_24h_percent) == (1.0, "121.5", "21.5", "21.5000")
    assert (above.high_24h, above.low_24h) == ("121.5", "90")
    below = quote(day, trade("80", NOW + SECOND))
    assert (below.change_24h, below.high_24h, below.low_24h) == ("-20", "120", "80")


def test_best_prices_alone_say_nothing_and_trades_alone_only_the_price():
    assert quote(ticker(bid="1", ask="2")) == Quote(*KEY)
    assert quote(trade("5")) == Quote(*KEY, NOW, 2.0, "5")


def test_old_news_does_not_move_the_price():
    assert quote(trade("5"), trade("4", NOW - 60 * SECOND, "backfill")).price == "5"


def test_a_trade_without_the_exchange_s_time_counts_from_its_receipt():
    assert quote(trade("4", NOW - SECOND), trade("5", None)).price == "5"


def test_a_day_that_began_at_nothing_has_no_percentage():
    assert quote(ticker(last="1", open="0", high="1", low="0", volume="1")).change_24h_percent is None


def test_what_the_database_knows_fills_in_until_the_bus_says_more():
    prices = LatestPrices()
    prices.take(trade("5"))
    assert prices.stale(NOW)
    prices.seed(KEY, "4", Statistics(NOW - SECOND, "2", "6", "1", "9"))
    (found,) = prices.quotes([KEY], NOW)
    assert (found.price, found.change_24h, found.high_24h) == ("5", "3", "6")
    assert not prices.stale(NOW)
    assert prices.stale(NOW + STALE)
    prices.take(ticker(last="7", open="3", high="8", low="2", volume="1"))
    prices.seed(KEY, "4", Statistics(NOW - SECOND, "2", "6", "1", "9"))
    (found,) = prices.quotes([KEY], NOW)
    assert (found.price, found.change_24h, found.high_24h) == ("7", "4", "8")


NEWS = st.lists(
    st.tuples(st.integers(0, 10**6), st.booleans(), st.decimals("0.01", "1000", places=2)),
    unique_by=lambda one: one[0], min_size=1, max_size=20,
)  # fmt: skip


@given(NEWS, st.randoms(use_true_random=False))
def test_the_newest_word_counts_in_whatever_order_it_comes(news, chance):
    events = [
        ticker(NOW + t, last=str(p), open=str(p + 1), high=str(p), low=str(p), volume="1")
        if statistics else trade(str(p), NOW + t)
        for t, statistics, p in news
    ]  # fmt: skip
    in_order = quote(*sorted(events, key=lambda event: event.ts))
    chance.shuffle(events)
    assert quote(*events) == in_order
    newest = max(events, key=lambda event: event.ts)
    assert in_order.price == (newest.price if isinstance(newest, Trade) else newest.last)
    if in_order.change_24h is not None:
        opened = max((e for e in events if isinstance(e, Ticker)), key=lambda event: event.ts).open
        assert Decimal(in_order.change_24h) == Decimal(in_order.price) - Decimal(opened)
        assert Decimal(in_order.low_24h) <= Decimal(in_order.price) <= Decimal(in_order.high_24h)
