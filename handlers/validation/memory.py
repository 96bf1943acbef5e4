"""What validation remembers of one symbol, so that a rule can compare an event with what came before."""

from typing import Final

_WEIGHT: Final = 0.02
"""Of a new price in the running mean and spread: the memory is about fifty prices long."""


class PriceMemory:
    """A running mean of the relative steps between prices: what is usual for this symbol. For comparing only."""

    __slots__ = ("count", "last", "usual_step")

    def __init__(self) -> None:
        self.last = 0.0
        self.usual_step = 0.0
        self.count = 0

    def step(self, price: float) -> float:
        """Return how far a price is from the last one, relative to it."""
        return abs(price / self.last - 1.0) if self.last else 0.0

    def take(self, price: float, step: float) -> None:
        """Remember a price and its step."""
        self.usual_step += _WEIGHT * (step - self.usual_step)
        self.last = price
        self.count += 1


class SymbolMemory:
    """The last of everything of one symbol of one exchange."""

    __slots__ = ("candles", "price", "ticker_ts", "trade_id", "trade_recv", "trade_ts", "trades_seen")

    def __init__(self) -> None:
        self.price = PriceMemory()
        self.trade_id = -1
        self.trade_ts = 0
        self.trade_recv = 0
        self.trades_seen: dict[str, int] = {}
        """The newest trade ids and when each was received: the same again at another time is a duplicate."""
        self.ticker_ts = 0
        self.candles: dict[tuple[str, int], tuple[str, ...]] = {}
        """Closed candles by timeframe and opening: their values must not change."""
