"""How one connection's messages are counted: `sequence_num` rises by one with each, over all channels.

https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview
"""

from typing import Final, Literal, TypeAlias

FAR: Final = 1_000
"""A number that is further ahead is believed when the next one follows it: so many are not lost on a connection."""
LATE_IN_A_ROW: Final = 10
"""Late messages that are dropped one after the other: more of them are no repetition."""

Place: TypeAlias = Literal["next", "missing", "late", "anew"]


class Count:
    """The messages of one connection. `last` is the number of the newest one, None before the first."""

    __slots__ = ("_late", "_odd", "_row", "last")

    def __init__(self) -> None:
        self.last: int | None = None
        self._odd = -1
        """The last number that was too far ahead to be believed."""
        self._late = -1
        """The last number that came late."""
        self._row = 0
        """How many late ones have followed one another."""

    def take(self, number: int) -> Place:
        """Count a message; return whether it is the next one, some are missing before it, or it comes late.

        One far ahead is late: its number is wrong, and the next message shows that one is missing. Late ones that go
        on counting show that they are counted `anew`, or that a number which was believed was wrong.
        """
        if self.last is None or number == self.last + 1:
            place: Place = "next"
        elif number <= self.last:
            self._row = self._row + 1 if self._late + 1 == number != self.last else 1
            self._late = number
            place = "anew" if self._row > LATE_IN_A_ROW else "late"
        elif number - self.last > FAR and number != self._odd + 1:
            self._odd = number
            place = "late"
        else:
            place = "missing"
        if place != "late":
            self.last = number
        return place
