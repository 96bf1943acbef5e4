"""Summed-up books are the same books, and nothing else is touched."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bus.book import BookBuilder
from bus.events import Book, Event, Trade
from bus.redis.conflation import conflate

prices = st.sampled_from(["1", "1.0", "2", "3", "4.50"])
levels = st.lists(st.tuples(prices, st.sampled_from(["0", "1", "2.5"])), max_size=3)
steps = st.tuples(
    st.sampled_from(["A/B", "C/D"]), st.sampled_from(["delta"] * 6 + ["snapshot", "trade"]), levels, levels
)


def written(story: list[tuple[str, str, list[tuple[str, str]], list[tuple[str, str]]]]) -> list[Event]:
    """A story as events, each at a later time, with books that are chained by their ids."""
    events: list[Event] = []
    last = dict.fromkeys(("A/B", "C/D"), 0)
    for recv, (symbol, kind, bids, asks) in enumerate(
        [("A/B", "snapshot", [], []), ("C/D", "snapshot", [], []), *story]
    ):
        if kind == "trade":
            events.append(Trade("x", symbol, recv, recv, "ws", str(recv), "1", "1", "buy"))
            continue
        first, last[symbol] = last[symbol] + 1, last[symbol] + 2
        events.append(Book("x", symbol, recv, recv, "ws", kind, bids, asks, first, last[symbol], first - 1))
    return events


def books(events: list[Event]) -> dict[str, tuple[object, object]]:
    """The books at the end; no event may be refused as out of sequence."""
    built = {"A/B": BookBuilder(), "C/D": BookBuilder()}
    for event in events:
        if isinstance(event, Book):
            assert built[event.symbol].apply(event)
    return {symbol: (book.bids(99), book.asks(99)) for symbol, book in built.items()}


@given(st.lists(steps, max_size=30))
def test_whoever_applies_the_sums_has_the_same_books(story):
    events = written(story)
    fewer = conflate(events)
    assert books(fewer) == books(events)
    assert [event for event in fewer if isinstance(event, Trade)] == [e for e in events if isinstance(e, Trade)]
    assert [event.recv for event in fewer] == sorted(event.recv for event in fewer)
    assert {event.source for event in fewer if event not in events} <= {"derived"}
    kinds = [(e.symbol, e.kind) for e in fewer if isinstance(e, Book)]
    for symbol in ("A/B", "C/D"):
        mine = [kind for name, kind in kinds if name == symbol]
        assert ("delta", "delta") not in pairwise(mine)


def test_a_break_and_what_is_old_stay_what_they_are():
    one = Book("x", "A/B", 1, 1, "ws", "delta", [("1", "1")], [], 3, 4, 2)
    beyond = Book("x", "A/B", 2, 2, "ws", "delta", [("1", "2")], [], 7, 8, 6)
    old = Book("x", "A/B", 2, 2, "ws", "delta", [("1", "2")], [], 1, 2)
    for other in (beyond, old):
        assert conflate([one, other]) == [one, other]
