"""What the simulated exchange trades, in Binance's terms: ticks, lots, and where prices begin."""

from itertools import product
from typing import Final, NamedTuple

UNIT: Final = 100_000_000
"""Prices and amounts have eight decimals, as on Binance."""


class Symbol(NamedTuple):
    """One market. `tick` and `lot` are in units of 1e-8; `price` is the first price in ticks, `size` usual lots."""

    base: str
    quote: str
    tick: int
    lot: int
    price: int
    size: float
    weight: float
    """Its share of the order flow."""

    @property
    def name(self) -> str:
        """Binance's name, e.g. BTCUSDT."""
        return self.base + self.quote


SYMBOLS: Final = (
    Symbol("BTC", "USDT", 1_000_000, 1_000, 6_183_764, 3_000.0, 0.30),
    Symbol("ETH", "USDT", 1_000_000, 10_000, 268_381, 4_000.0, 0.25),
    Symbol("SOL", "USDT", 1_000_000, 100_000, 15_824, 8_000.0, 0.15),
    Symbol("BNB", "USDT", 1_000_000, 100_000, 51_230, 1_500.0, 0.10),
    Symbol("XRP", "USDT", 10_000, 10_000_000, 6_121, 6_000.0, 0.12),
    Symbol("ETH", "BTC", 1_000, 10_000, 4_338, 2_000.0, 0.08),
)

# fmt: off
_MORE_BASES: Final = (
    "ADA", "DOGE", "TRX", "AVAX", "LINK", "DOT", "LTC", "BCH", "NEAR", "UNI", "ATOM", "ETC",
    "XLM", "FIL", "APT", "ARB", "OP", "INJ", "SUI", "SEI", "TIA", "AAVE", "MKR", "RUNE",
    "ALGO", "VET", "ICP", "HBAR", "GRT", "SAND", "MANA", "AXS", "THETA", "EGLD", "FTM", "FLOW",
    "XTZ", "EOS", "KAVA", "SNX", "COMP", "CRV", "LDO", "DYDX", "GMX", "PEPE", "WIF", "JUP",
    "PYTH", "ENA",
)
# fmt: on
_MORE_QUOTES: Final = ("USDT", "USDC", "EUR", "TRY", "BRL")
MOST_SYMBOLS: Final = len(SYMBOLS) + len(_MORE_BASES) * len(_MORE_QUOTES)


def listed(count: int) -> tuple[Symbol, ...]:
    """Return so many symbols, at most MOST_SYMBOLS; the first are always the same."""
    more = (
        Symbol(base, quote, 10_000, 10_000_000, 5_000 + 777 * number, 5_000.0, 0.05)
        for number, (quote, base) in enumerate(product(_MORE_QUOTES, _MORE_BASES))
    )
    return (*SYMBOLS, *more)[:count]


def decimal(units: int) -> str:
    """Spell an amount of 1e-8 units with its eight decimals."""
    whole, rest = divmod(units, UNIT)
    return f"{whole}.{rest:08d}"
