"""Matching: price-time order, nothing crossed, nothing made or lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.simulator.orderbook import BUY, SELL, Fill, OrderBook


def total(book: OrderBook) -> int:
    return sum(sum(side.lots.values()) for side in book.sides)


def test_the_best_price_is_taken_first_and_the_rest_stands():
    book = OrderBook(0)
    book.limit(SELL, 101, 5)
    book.limit(SELL, 100, 2)
    assert book.limit(BUY, 101, 10) == [Fill(100, 2), Fill(101, 5)]
    assert book.bids.top(5) == [(101, 3)]
    assert book.asks.best is None


def test_at_one_price_the_oldest_is_filled_first_and_a_cancelled_one_is_passed_over():
    book = OrderBook(0)
    for lots in (1, 2, 4):
        book.limit(SELL, 100, lots)
    book.cancel(book.orders[1])
    assert book.market(BUY, 3) == [Fill(100, 1), Fill(100, 2)]
    assert book.asks.lots == {100: 2}


def test_a_market_order_beyond_the_book_expires():
    book = OrderBook(0)
    book.limit(SELL, 100, 1)
    assert book.market(BUY, 50) == [Fill(100, 1)]
    assert book.market(BUY, 50) == []
    assert book.update_id == 2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("lmc"), st.booleans(), st.integers(90, 110), st.integers(1, 20)), max_size=80)
)
def test_lots_are_conserved_and_the_book_never_crosses(orders: list[tuple[str, bool, int, int]]):
    book = OrderBook(7)
    for kind, buy, price, lots in orders:
        before, update_id = total(book), book.update_id
        if kind == "c":
            if book.orders:
                order = book.orders[price % len(book.orders)]
                size = order.lots
                book.cancel(order)
                assert total(book) == before - size
        else:
            side = BUY if buy else SELL
            fills = book.limit(side, price, lots) if kind == "l" else book.market(side, lots)
            filled = sum(fill.lots for fill in fills)
            assert all(fill.lots > 0 for fill in fills)
            assert [f.price for f in fills] == sorted((f.price for f in fills), reverse=not buy)
            assert total(book) == before - filled + (lots - filled if kind == "l" else 0)
        assert book.update_id - update_id in (0, 1)
        bid, ask = book.bids.best, book.asks.best
        assert bid is None or ask is None or bid < ask
        assert sorted(order.place for order in book.orders) == list(range(len(book.orders)))
        by_price: dict[tuple[int, int], int] = {}
        for order in book.orders:
            by_price[order.side, order.price] = by_price.get((order.side, order.price), 0) + order.lots
        assert by_price == {(s, p): n for s in (BUY, SELL) for p, n in book.sides[s].lots.items()}
