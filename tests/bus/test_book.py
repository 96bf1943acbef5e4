"""The book that subscribers follow, against the simplest book that could be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.book import BookBuilder
from bus.events import Book


def snapshot(bids, asks, last_id=None):
    return Book("x", "A/B", None, 1, "ws", "snapshot", bids, asks, last_id=last_id)


def delta(bids, asks, first=None, last=None, prev=None):
    return Book("x", "A/B", None, 1, "ws", "delta", bids, asks, first, last, prev)


def built(last_id=10):
    book = BookBuilder()
    assert book.apply(snapshot([("9.0", "1.50"), ("8", "2")], [("10.10", "3"), ("11", "4")], last_id))
    return book


def test_levels_come_back_as_sent_best_first():
    book = built()
    assert (book.best_bid, book.best_ask, book.depth, book.crossed) == (("9.0", "1.50"), ("10.10", "3"), (2, 2), False)
    assert book.bids(5) == [("9.0", "1.50"), ("8", "2")]
    assert book.asks(1) == [("10.10", "3")]
    assert book.asks(0) == []


def test_two_spellings_of_a_price_are_one_level():
    book = built()
    assert book.apply(delta([("9.00", "7"), ("8.0", "0.000")], [("9.5", "1")], 11, 12, 10))
    assert book.bids(5) == [("9.00", "7")]
    assert book.asks(2) == [("9.5", "1"), ("10.10", "3")]


def test_prices_beyond_the_precision_of_decimal_arithmetic_stay_apart():
    near, nearer = "1." + "0" * 30 + "1", "1." + "0" * 30 + "2"
    book = BookBuilder()
    book.apply(snapshot([(near, "1"), (nearer, "2")], [(near, "1"), (nearer, "2")]))
    assert (book.bids(2)[0][0], book.asks(2)[0][0]) == (nearer, near)


def test_an_empty_book_has_no_best_and_is_not_crossed():
    book = BookBuilder()
    assert (book.in_sync, book.best_bid, book.best_ask, book.crossed, book.bids(3)) == (False, None, None, False, [])
    assert book.apply(snapshot([], []))


@pytest.mark.parametrize("price", ["10.1", "10.2"])
def test_crossed(price):
    book = built()
    book.apply(delta([(price, "1")], [], 11, 11))
    assert book.crossed


def test_before_the_first_snapshot_deltas_tell_nothing():
    book = BookBuilder()
    assert not book.apply(delta([("1", "1")], [], 1, 2))
    assert book.best_bid is None


def test_after_a_missing_delta_only_a_snapshot_helps():
    book = built()
    assert not book.apply(delta([("9.0", "5")], [], 12, 13, 11))
    assert not book.apply(delta([], [], 14, 14, 13))
    assert book.best_bid == ("9.0", "1.50")
    assert book.apply(snapshot([("7", "1")], [], 20))
    assert book.apply(delta([("7", "2")], [], 21, 21, 20))
    assert book.bids(9) == [("7", "2")]


def test_what_is_delivered_again_does_no_harm():
    book = built()
    one, two = delta([("9.0", "5")], [], 11, 12, 10), delta([("9.0", "6")], [], 13, 14, 12)
    assert book.apply(one)
    assert book.apply(two)
    assert book.apply(one)
    assert book.best_bid == ("9.0", "6")


@pytest.mark.parametrize(
    ("change", "in_sync"),
    [
        (delta([], [], 11, 12), True),  # Binance spot: first id
        (delta([], [], 5, 12), True),  # overlaps what is known
        (delta([], [], 12, 13), False),
        (delta([], [], 200, 300, 10), True),  # Binance USD-M: previous id
        (delta([], [], None, 300, 10), True),  # OKX
        (delta([], [], None, 300, 11), False),
        (delta([], [], None, 3, 10), True),  # OKX after its ids were restarted
        (delta([], []), True),  # no ids at all
    ],
)
def test_continuity(change, in_sync):
    book = built()
    assert book.apply(change) == in_sync
    if in_sync and change.last_id is not None:
        assert book.last_id == change.last_id


prices = st.integers(1, 30).map(lambda n: f"{n}.50")
levels = st.lists(st.tuples(prices, st.sampled_from(["0", "0.00", "1", "2.5"])), max_size=8)


@given(st.lists(st.tuples(st.booleans(), levels, levels), max_size=20))
def test_a_book_is_what_a_plain_dictionary_makes_of_it(steps):
    book, naive = BookBuilder(), ({}, {})
    for number, (is_snapshot, bids, asks) in enumerate(steps):
        if is_snapshot or number == 0:
            naive = ({}, {})
            assert book.apply(snapshot(bids, asks, number))
        else:
            assert book.apply(delta(bids, asks, number, number, number - 1))
        for side, changes in zip(naive, (bids, asks), strict=True):
            for price, amount in changes:
                side.pop(price, None)
                if Decimal(amount):
                    side[price] = amount
        expected = [sorted(side.items(), key=lambda level: Decimal(level[0])) for side in naive]
        assert book.bids(99) == expected[0][::-1]
        assert book.asks(99) == expected[1]
        assert book.bids(3) == expected[0][::-1][:3]
        assert (book.best_ask or ()) == (expected[1][0] if expected[1] else ())
        assert book.depth == tuple(map(len, naive))
