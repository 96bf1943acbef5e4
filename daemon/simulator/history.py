"""The trades of one symbol, kept compactly: at least the last million, by contiguous id."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

KEPT: Final = 1_000_000


class Print(NamedTuple):
    """One trade: price in ticks, lots, time in ms; `maker_bought` is Binance's `m`."""

    id: int
    price: int
    lots: int
    time: int
    maker_bought: bool


class Aggregate(NamedTuple):
    """The fills of one taker order at one price."""

    id: int
    price: int
    lots: int
    first: int
    last: int
    time: int
    maker_bought: bool


class TradeLog:
    """Trades and aggregates by id; ids begin where the clock says, so that no run ever uses one again."""

    def __init__(self, first_id: int, kept: int = KEPT) -> None:
        self.first = first_id
        self.first_aggregate = first_id
        self.lost: list[range] = []
        """Ids that the REST API shall not have."""
        self._kept = kept
        self._slack = max(1, kept // 4)
        self._price, self._lots, self._time, self._maker = array("q"), array("q"), array("q"), array("b")
        self._agg_first, self._agg_last, self._agg_lots = array("q"), array("q"), array("q")

    @property
    def next(self) -> int:
        """The id that the next trade will have."""
        return self.first + len(self._price)

    @property
    def next_aggregate(self) -> int:
        """The id that the next aggregate will have."""
        return self.first_aggregate + len(self._agg_first)

    def add(self, price: int, lots: int, time: int, *, maker_bought: bool) -> int:
        """Append a trade and return its id."""
        self._price.append(price)
        self._lots.append(lots)
        self._time.append(time)
        self._maker.append(maker_bought)
        return self.next - 1

    def aggregate(self, first: int, last: int, lots: int) -> int:
        """Append an aggregate of trades and return its id."""
        self._agg_first.append(first)
        self._agg_last.append(last)
        self._agg_lots.append(lots)
        return self.next_aggregate - 1

    def trim(self) -> None:
        """Let the oldest go where there are far too many."""
        surplus = len(self._price) - self._kept
        if surplus < self._slack:
            return
        for column in (self._price, self._lots, self._time, self._maker):
            del column[:surplus]
        self.first += surplus
        gone = bisect_left(self._agg_first, self.first)
        for column in (self._agg_first, self._agg_last, self._agg_lots):
            del column[:gone]
        self.first_aggregate += gone

    def get(self, number: int) -> Print:
        """Return a trade that is kept."""
        i = number - self.first
        return Print(number, self._price[i], self._lots[i], self._time[i], bool(self._maker[i]))

    def get_aggregate(self, number: int) -> Aggregate:
        """Return an aggregate that is kept."""
        i = number - self.first_aggregate
        first = self._agg_first[i]
        trade = self.get(first)
        return Aggregate(
            number, trade.price, self._agg_lots[i], first, self._agg_last[i], trade.time, trade.maker_bought
        )

    def range(self, start: int, limit: int) -> Iterator[Print]:
        """Yield up to `limit` trades from an id on."""
        start = max(start, self.first)
        for number in range(start, min(start + limit, self.next)):
            yield self.get(number)

    def has(self, trade: Print | Aggregate) -> bool:
        """Whether the REST API has a trade, or all trades of an aggregate."""
        number = trade.id if isinstance(trade, Print) else trade.first
        return not any(number in lost for lost in self.lost)

    def at_time(self, time: int) -> int:
        """Return the id of the first trade at or after a time (ms)."""
        return self.first + bisect_left(self._time, time)

    def aggregate_at_time(self, time: int) -> int:
        """Return the id of the first aggregate at or after a time (ms)."""
        return self.first_aggregate + bisect_left(self._agg_first, self.at_time(time))
