"""What can be traded: an exchange's symbol with its filters, compiled to integers."""

from collections.abc import Callable
from typing import Final

import msgspec

from handlers.paper import units

REMEMBERED: Final = 1_024
"""Decimal strings of which the value is kept: the same few thousand come again and again."""
_DEFAULT_DECIMALS: Final = 8
_FINEST: Final = units.MONEY_DECIMALS - units.RATE_DECIMALS


class InstrumentSpec(msgspec.Struct, frozen=True):
    """An instrument as exchanges state it: `tick` and `step` are the price's and the quantity's smallest change.

    `min_notional` is in quote currency. Public sizes are kept to the asset's decimals.
    """

    symbol: str
    base: str
    quote: str
    tick: str
    step: str
    min_notional: str = "0"
    asset_decimals: dict[str, int] = {}


class _Parsed(dict[str, int]):
    """Decimal strings and their values, parsed when they are first looked up."""

    def __init__(self, parse: Callable[[str, int], int], decimals: int) -> None:
        self._parse = parse
        self._decimals = decimals

    def __missing__(self, text: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        value = self[text] = self._parse(text, self._decimals)
        return value


class Instrument:
    """An instrument in integers: prices and sizes in atoms, `unit` = money units of one price atom times one size atom.

    Raises ValueError for filters that are no positive numbers, or too fine to be exact.
    """

    def __init__(self, exchange: str, spec: InstrumentSpec) -> None:
        self.exchange = exchange
        self.spec = spec
        self.tick_decimals = units.decimals_of(spec.tick)
        self.price_decimals = max(self.tick_decimals, spec.asset_decimals.get(spec.quote, _DEFAULT_DECIMALS))
        self.size_decimals = max(units.decimals_of(spec.step), spec.asset_decimals.get(spec.base, _DEFAULT_DECIMALS))
        if self.price_decimals + self.size_decimals > _FINEST:
            raise ValueError(f"{spec.symbol}: tick, step and asset decimals are too fine to compute with exactly")
        self.tick = units.parse(spec.tick, self.price_decimals)
        self.step = units.parse(spec.step, self.size_decimals)
        self.min_notional = units.money(spec.min_notional)
        if self.tick <= 0 or self.step <= 0 or self.min_notional < 0:
            raise ValueError(f"{spec.symbol}: tick and step must be above 0 and min_notional not below")
        self.unit = units.power(units.MONEY_DECIMALS - self.price_decimals - self.size_decimals)
        self.base_unit = units.power(units.MONEY_DECIMALS - self.size_decimals)
        self.prices = _Parsed(units.parse, self.price_decimals)
        """Public prices in atoms, by their strings. Looking up what is no number raises ValueError."""
        self.sizes = _Parsed(units.floor_parse, self.size_decimals)
        """Public sizes in atoms, rounded down where they are finer. Looking up what is no number raises ValueError."""

    def price_text(self, price: int) -> str:
        """Return a price with the decimals of the tick."""
        text = units.to_text(price, self.price_decimals)
        have = len(text) - text.index(".") - 1 if "." in text else 0
        if have >= self.tick_decimals:
            return text
        return (text if have else text + ".") + "0" * (self.tick_decimals - have)

    def size_text(self, size: int) -> str:
        """Return a size without superfluous zeros."""
        return units.to_text(size, self.size_decimals)
