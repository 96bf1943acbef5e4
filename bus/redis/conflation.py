"""Sums up order-book updates that wait: where there is no room for everything, books lose their steps and no level."""

from collections.abc import Iterable, Sequence

import msgspec

from bus.events import Book, Event, Level


def conflate(events: Iterable[Event]) -> list[Event]:
    """Return the events with every run of one symbol's deltas as a single one, which says `derived`.

    It stands where the last of its run stood, and whoever applies it has the same book. A delta that does not follow
    the one before stays apart, so that the break shows. Everything else, trades above all, is left as it is.
    """
    kept: dict[int, Event] = {}
    latest: dict[tuple[str, str], int] = {}
    for place, event in enumerate(events):
        kept[place] = event
        if type(event) is not Book:
            continue
        key = (event.exchange, event.symbol)
        before = latest.get(key)
        earlier = kept[before] if before is not None else None
        if before is not None and type(earlier) is Book and _follows(earlier, event):
            kept[place] = _sum(earlier, event)
            del kept[before]
        latest[key] = place
    return list(kept.values())


def _follows(earlier: Book, later: Book) -> bool:
    """Whether both are deltas and nothing is missing between them."""
    if earlier.kind != "delta" or later.kind != "delta":
        return False
    if later.prev_id is not None:
        return later.prev_id == earlier.last_id
    if later.first_id is None or later.last_id is None or earlier.last_id is None:
        return earlier.last_id is None and later.last_id is None
    return later.first_id <= earlier.last_id + 1 <= later.last_id


def _sum(earlier: Book, later: Book) -> Book:
    return msgspec.structs.replace(
        later,
        source="derived",
        bids=_levels(earlier.bids, later.bids),
        asks=_levels(earlier.asks, later.asks),
        first_id=earlier.first_id,
        prev_id=earlier.prev_id,
    )


def _levels(earlier: Sequence[Level], later: Sequence[Level]) -> list[Level]:
    """Return the last word on each price, in the order in which it was said."""
    amounts: dict[str, str] = {}
    for price, amount in (*earlier, *later):
        amounts.pop(price, None)  # an exchange may spell one price in two ways: then the later one has to come later
        amounts[price] = amount
    return list(amounts.items())
