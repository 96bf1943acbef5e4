"""What of an order book that ccxt keeps is told: the whole of it, or what a message has changed."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from bus.events import Level
from daemon.collectors.ccxt.digits import digits


class Recorded:
    """The changes of one side since they were last taken."""

    def __init__(self) -> None:
        self.changes: dict[str, str] = {}
        self.whole = True
        """Whether the side began anew, so that it has to be told as a whole."""

    def begin(self) -> None:
        """Note that the side begins anew."""
        self.changes.clear()
        self.whole = True

    def take(self) -> list[Level]:
        """Return the changes and forget them."""
        taken = [(digits(price), digits(amount)) for price, amount in self.changes.items()]
        self.changes.clear()
        self.whole = False
        return taken


def record_of(side: Any) -> Recorded | None:
    """Return a side's changes, None where an exchange's class has put a list of its own there."""
    found = getattr(side, "recorded", None)
    return found if isinstance(found, Recorded) else None


def levels(side: Iterable[Any], *, lowest_first: bool) -> list[Level]:
    """Return the whole of a side, best level first; orders of one price are added up to a level."""
    amounts: dict[str, str] = {}
    for level in side:
        price, amount = digits(level[0]), digits(level[1])
        before = amounts.get(price)
        amounts[price] = amount if before is None else f"{Decimal(before) + Decimal(amount):f}"
    return sorted(amounts.items(), key=lambda level: Decimal(level[0]), reverse=not lowest_first)
