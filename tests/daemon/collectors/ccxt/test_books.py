"""Books out of ccxt's classes: whoever follows the events has the book that ccxt keeps, at every step."""

from decimal import Decimal

import pytest
from ccxt.async_support.base.ws.order_book import OrderBook
from hypothesis import given
from hypothesis import strategies as st

from bus.book import BookBuilder
from bus.errors import MalformedFrame
from daemon.collectors.ccxt.books import order_book
from daemon.collectors.ccxt.levels import BookMemory
from daemon.collectors.ccxt.translate import Origin

ORIGIN = Origin("any", 1, "ws")
prices = st.integers(1, 12).map(lambda n: f"{n}.50")
amounts = st.sampled_from(["0", "1.0", "2.50", "0.00001"])
changes = st.lists(st.tuples(st.sampled_from(["bids", "asks"]), prices, amounts), min_size=1, max_size=6)


def sides(book) -> tuple:
    return tuple(tuple((Decimal(str(level[0])), Decimal(str(level[1]))) for level in book[s]) for s in ("bids", "asks"))


def numbers(levels) -> tuple:
    return tuple((Decimal(price), Decimal(amount)) for price, amount in levels)


@given(st.lists(changes, max_size=20), st.sampled_from([None, 3]), st.booleans())
def test_following_the_events_gives_the_book_that_ccxt_keeps(messages, depth, counted):
    book, memory, follower = order_book({}, depth, counted=counted), BookMemory(), BookBuilder()
    for number, message in enumerate(messages, 1):
        for side, price, amount in message:
            book[side].storeArray([price, amount, 1] if counted else [price, amount])
        book["nonce"] = number
        event = memory.event("A/B", book, ORIGIN)
        if event is not None:
            assert follower.apply(event)
        assert (numbers(follower.bids(99)), numbers(follower.asks(99))) == sides(book)


def test_the_whole_book_comes_first_then_what_changed_with_the_digits_of_the_exchange():
    book = order_book({"bids": [["10.10", "1.0"]], "asks": [["10.20", "2.00"]]}, None)
    memory = BookMemory()
    first = memory.event("A/B", book, ORIGIN)
    assert (first.kind, first.bids, first.asks) == ("snapshot", [("10.10", "1.0")], [("10.20", "2.00")])
    book["bids"].store("10.10", "0.50")
    book["asks"].store("10.20", "0")
    second = memory.event("A/B", book, ORIGIN)
    assert (second.kind, second.bids, second.asks) == ("delta", [("10.10", "0.50")], [("10.20", "0")])
    assert memory.event("A/B", book, ORIGIN) is None
    memory.begin_anew()
    assert memory.event("A/B", book, ORIGIN).kind == "snapshot"


def test_a_snapshot_that_ccxt_takes_in_is_told_as_a_whole():
    book, memory = order_book({"bids": [["10", "1"]], "asks": [["11", "1"]]}, None), BookMemory()
    memory.event("A/B", book, ORIGIN)
    book.reset({"bids": [["9", "3"]], "asks": [["12", "4"]], "nonce": 7})
    told = memory.event("A/B", book, ORIGIN)
    assert (told.kind, told.bids, told.asks, told.last_id) == ("snapshot", [("9", "3")], [("12", "4")], 7)


def test_a_book_of_orders_is_told_as_levels_each_time():
    book = {"bids": [[10.5, 1.25, "a"], [10.5, 0.25, "b"], [10.0, 2.0, "c"]], "asks": [[11.0, 1.0, "d"]], "nonce": None}
    memory = BookMemory()
    for _ in range(2):
        told = memory.event("A/B", book, ORIGIN)
        assert told.kind == "snapshot"
        assert numbers(told.bids) == ((Decimal("10.5"), Decimal("1.5")), (Decimal(10), Decimal(2)))


def test_after_a_malformed_change_the_whole_book_is_told():
    book, memory = order_book({"bids": [["10", "1"]], "asks": [["11", "1"]]}, None), BookMemory()
    memory.event("A/B", book, ORIGIN)
    book["bids"].store("9", "-1")
    with pytest.raises(MalformedFrame):
        memory.event("A/B", book, ORIGIN)
    book["bids"].store("9", "1")
    assert memory.event("A/B", book, ORIGIN).kind == "snapshot"


def test_an_update_id_that_stands_still_is_none():
    book, memory = order_book({}, None), BookMemory()
    ids = []
    for nonce in (5, 5, 6, None, "7"):
        book["bids"].store("10", str(len(ids) + 1))
        book["nonce"] = nonce
        ids.append(memory.event("A/B", book, ORIGIN).last_id)
    assert ids == [5, None, 6, None, None]


def test_the_books_are_ccxts_own_class():
    assert isinstance(order_book({}, None), OrderBook)
