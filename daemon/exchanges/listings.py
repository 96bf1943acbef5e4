"""The instruments of an exchange that lists them in several parts, asked for again and again."""

from collections.abc import Iterable
from difflib import get_close_matches

from msgspec.structs import replace

from bus.errors import ConfigError
from daemon.exchanges.base import Instrument


class Listings:
    """What the lists have named so far; an instrument that its list names no more stays, not active."""

    def __init__(self, exchange: str, example: str) -> None:
        self._exchange = exchange
        self._example = example
        self._members: dict[str, set[str]] = {}
        self._named: dict[str, set[str]] = {}
        self.instruments: dict[str, Instrument] = {}
        """By unified symbol."""

    def take(self, part: str, found: Iterable[Instrument], *, first: bool = True, last: bool = True) -> None:
        """Take in a page of one part of the list; `first` and `last` say whether that part begins and ends with it."""
        if first:
            self._named[part] = set()
        for instrument in found:
            self._named[part].add(instrument.symbol)
            known = self.instruments.get(instrument.symbol)
            # A delisted market can have the name of a living one.
            if known is None or instrument.active or not known.active or known.native == instrument.native:
                self.instruments[instrument.symbol] = instrument
        members = self._members.setdefault(part, set())
        members |= self._named[part]
        if last:
            for symbol in members - self._named[part]:
                self.instruments[symbol] = replace(self.instruments[symbol], active=False)

    def find(self, symbol: str) -> Instrument:
        """Return an instrument. Raises ConfigError, naming the nearest, for one that the exchange does not have."""
        if symbol in self.instruments:
            return self.instruments[symbol]
        near = get_close_matches(symbol, self.instruments, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"symbols look like {self._example}"
        raise ConfigError(f"{self._exchange} has no symbol {symbol!r}; {hint}")
