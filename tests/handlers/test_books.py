"""A book that stays crossed is told once; a moment's crossing is not."""

import asyncio

from bus.clock import SECOND
from bus.events import Book, Quality
from bus.handler import Batch
from handlers.books import STUCK, BookWatch


def snapshot(number: int, seconds: float, bid: str = "100", ask: str = "101", symbol: str = "BTC/USDT") -> Book:
    recv = round(seconds * SECOND)
    return Book("binance", symbol, recv, recv, "rest", "snapshot", [(bid, "1")], [(ask, "1")], last_id=number)


def bid(number: int, seconds: float, price: str, amount: str = "1", symbol: str = "BTC/USDT") -> Book:
    recv = round(seconds * SECOND)
    return Book("binance", symbol, recv, recv, "ws", "delta", [(price, amount)], [], number, number, number - 1)


def told(watch: BookWatch, *events: Book) -> list[Quality]:
    return [event for event in asyncio.run(watch.handle(Batch(events))) if isinstance(event, Quality)]


def test_a_book_that_stays_crossed_is_told_once_until_it_begins_anew():
    watch = BookWatch()
    assert told(watch, snapshot(1, 0), bid(2, 1, "102"), bid(3, 5.9, "99")) == []
    (stuck,) = told(watch, bid(4, 6, "99"))
    assert (stuck.exchange, stuck.symbol, stuck.channel, stuck.rule, stuck.severity) == (
        "binance", "BTC/USDT", "book", STUCK, "error",
    )  # fmt: skip
    assert "bid 102" in stuck.detail
    assert told(watch, bid(5, 20, "99"), bid(6, 40, "99")) == []
    assert told(watch, snapshot(9, 41, bid="102"), bid(10, 46, "99"))[0].rule == STUCK


def test_a_book_that_uncrosses_is_sound():
    watch = BookWatch()
    events = [snapshot(1, 0)]
    for number in range(2, 40, 2):
        events += [bid(number, number, "102"), bid(number + 1, number + 0.9, "102", "0")]
    assert told(watch, *events) == []


def test_books_are_watched_apart_and_broken_ones_not_at_all():
    watch = BookWatch()
    other = "ETH/USDT"
    assert told(watch, snapshot(1, 0), snapshot(1, 0, symbol=other), bid(2, 1, "102")) == []
    assert told(watch, bid(2, 9, "100", symbol=other)) == []
    assert told(watch, bid(4, 9, "102")) == []  # one is missing: the book is not known any more
