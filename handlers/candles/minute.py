"""One minute's trades of one symbol, in whatever order they come, each once."""

from decimal import Decimal

from handlers.candles.bar import Bar
from handlers.candles.identities import Identities


class Minute:
    """The candle of the trades that have come. Of each trade only its id is kept, so that none counts twice."""

    def __init__(self, open_ts: int) -> None:
        self.open_ts = open_ts
        self.bar: Bar | None = None
        """The candle of what has come, None without a trade."""
        self._ids = Identities()
        self._first = self._last = (0, 0)
        """When the first and the last trade were: their times, then the exchange's order or that of the bus."""

    def add(self, identity: str, ts: int, price: str, amount: str) -> bool:
        """Take a trade; False when it is here already."""
        key = int(identity) if identity.isdecimal() else identity
        paid, size, bar = Decimal(price), Decimal(amount), self.bar  # what is no number raises, and is not kept
        if not self._ids.add(key):
            return False
        place = (ts, key if isinstance(key, int) else self._ids.count)
        if bar is None:
            self._first = self._last = place
            self.bar = Bar(self.open_ts, paid, paid, paid, paid, size, 1)
            return True
        opened, closed = bar.open, bar.close
        if place < self._first:
            self._first, opened = place, paid
        if place > self._last:
            self._last, closed = place, paid
        self.bar = Bar(
            self.open_ts, opened, max(bar.high, paid), min(bar.low, paid), closed, bar.volume + size, self._ids.count
        )
        return True
