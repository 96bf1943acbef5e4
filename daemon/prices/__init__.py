"""The latest price of every symbol and its last 24 hours, kept in memory so that asking costs nothing."""

from daemon.prices.feed import PriceFeed
from daemon.prices.memory import LatestPrices, Quote

__all__ = ["LatestPrices", "PriceFeed", "Quote"]
