"""One minute's trades of one symbol, in whatever order they come, each once."""

from decimal import Decimal
from typing import NamedTuple

from handlers.candles.bar import Bar


class Print(NamedTuple):
    """A trade as far as candles need it: its place in time, then in the exchange's or the bus's order."""

    ts: int
    order: int
    price: Decimal
    amount: Decimal


class Minute:
    """Trades by id. The bar grows with each trade in order; one that comes late makes it be built anew."""

    def __init__(self, open_ts: int) -> None:
        self.open_ts = open_ts
        self._prints: dict[str, Print] = {}
        self._last: Print | None = None
        self._bar: Bar | None = None

    def add(self, identity: str, ts: int, price: str, amount: str) -> bool:
        """Take a trade; False when it is here already."""
        if identity in self._prints:
            return False
        order = int(identity) if identity.isdecimal() else len(self._prints)
        print_ = self._prints[identity] = Print(ts, order, Decimal(price), Decimal(amount))
        if self._last is not None and print_[:2] < self._last[:2]:
            self._bar = None
        else:
            self._last = print_
            self._bar = self._grown(print_)
        return True

    @property
    def bar(self) -> Bar | None:
        """The candle of what has come, None without a trade."""
        if self._bar is None and self._prints:
            ordered = sorted(self._prints.values())
            prices = [each.price for each in ordered]
            volume = sum((each.amount for each in ordered), Decimal())
            self._bar = Bar(self.open_ts, prices[0], max(prices), min(prices), prices[-1], volume, len(ordered))
        return self._bar

    def _grown(self, new: Print) -> Bar | None:
        """Return the bar with one trade more at its end, None where it has to be built anew."""
        price, bar = new.price, self._bar
        if bar is None:
            return Bar(self.open_ts, price, price, price, price, new.amount, 1) if len(self._prints) == 1 else None
        return Bar(
            self.open_ts, bar.open, max(bar.high, price), min(bar.low, price), price, bar.volume + new.amount,
            len(self._prints),
        )  # fmt: skip
