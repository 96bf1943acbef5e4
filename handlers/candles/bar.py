"""One candle in numbers: made of trades or of shorter candles, and compared with another."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from bus.events import Candle


@dataclass(slots=True, frozen=True)
class Bar:
    """Prices, volume in base units, number of trades (None where that is unknown); `open_ts` in ns."""

    open_ts: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int | None

    @classmethod
    def of(cls, candle: Candle) -> Self:
        """Read a candle."""
        prices = [Decimal(price) for price in (candle.open, candle.high, candle.low, candle.close)]
        return cls(candle.open_ts, prices[0], prices[1], prices[2], prices[3], Decimal(candle.volume), candle.trades)

    def event(self, exchange: str, symbol: str, timeframe: str, recv: int, *, closed: bool) -> Candle:
        """Return it as an event; no exchange has sent it, so it has no exchange's time."""
        return Candle(
            exchange, symbol, None, recv, "derived", timeframe, self.open_ts, f"{self.open:f}", f"{self.high:f}",
            f"{self.low:f}", f"{self.close:f}", f"{self.volume:f}", self.trades, closed=closed,
        )  # fmt: skip


def fold(open_ts: int, bars: Iterable[Bar]) -> Bar | None:
    """Make one candle of those that it consists of, in order; None of none."""
    parts = list(bars)
    if not parts:
        return None
    counts = [bar.trades for bar in parts if bar.trades is not None]
    return Bar(
        open_ts, parts[0].open, max(bar.high for bar in parts), min(bar.low for bar in parts), parts[-1].close,
        sum((bar.volume for bar in parts), Decimal()), sum(counts) if len(counts) == len(parts) else None,
    )  # fmt: skip


def differences(derived: Bar, own: Bar) -> str:
    """Say where a derived candle differs from the exchange's own, "" where it does not. The count may differ.

    Exchanges count in different ways what one order has filled.
    """
    names = ("open", "high", "low", "close", "volume")
    pairs = ((name, getattr(derived, name), getattr(own, name)) for name in names)
    return ", ".join(
        f"{name} {built:f} is {stated:f} at the exchange" for name, built, stated in pairs if built != stated
    )
