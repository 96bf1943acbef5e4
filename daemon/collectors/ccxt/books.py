"""ccxt's order books, made to remember which levels a message has changed: ccxt itself only keeps the state."""

from typing import Any

from ccxt.async_support.base.ws.order_book import OrderBook
from ccxt.async_support.base.ws.order_book_side import Asks, Bids, CountedAsks, CountedBids

from daemon.collectors.ccxt.digits import Digits
from daemon.collectors.ccxt.levels import Recorded


class _RecordedSide:
    """Notes each change on its way into a side."""

    def __init__(self, deltas: Any = (), depth: int | None = None) -> None:
        self.recorded = Recorded()
        super().__init__(deltas, depth)  # type: ignore[call-arg] # ccxt's side stands behind it

    def storeArray(self, delta: list[Any]) -> None:  # noqa: N802 # ccxt's name
        """Set or remove a level."""
        price, size = Digits(delta[0]), Digits(delta[1])
        gone = not size or (len(delta) > 2 and self.counted and not delta[2])  # noqa: PLR2004 # price, size, count
        self.recorded.changes[price.text] = "0" if gone else size.text
        super().storeArray([price, size, *delta[2:]])  # type: ignore[misc] # as above

    counted = False

    def limit(self) -> None:
        """Forget the levels that are too deep; an exchange that sends a part of its book does not remove them."""
        for level in self[self._depth :]:  # type: ignore[index, attr-defined] # as above
            self.recorded.changes[level[0].text] = "0"
        super().limit()  # type: ignore[misc] # as above

    def clear(self) -> None:
        """Begin anew."""
        self.recorded.begin()
        super().clear()  # type: ignore[misc] # as above


class _Asks(_RecordedSide, Asks):  # type: ignore[misc] # ccxt is not typed
    pass


class _Bids(_RecordedSide, Bids):  # type: ignore[misc] # as above
    pass


class _CountedAsks(_RecordedSide, CountedAsks):  # type: ignore[misc] # as above
    counted = True


class _CountedBids(_RecordedSide, CountedBids):  # type: ignore[misc] # as above
    counted = True


def order_book(snapshot: dict[str, Any], depth: int | None, *, counted: bool = False) -> Any:
    """Return an order book as ccxt makes them, with sides that remember."""
    asks, bids = (_CountedAsks, _CountedBids) if counted else (_Asks, _Bids)
    sides = {"asks": asks(snapshot.get("asks", []), depth), "bids": bids(snapshot.get("bids", []), depth)}
    return OrderBook({**snapshot, **sides}, depth)
