"""What is remembered of one Bybit symbol: its name, what was published, where its book stands, its last ticker."""

from collections import defaultdict
from typing import Final, Literal, TypeAlias

from daemon.exchanges.book_chain import BookChain
from daemon.exchanges.bybit_messages import TickerFields
from daemon.exchanges.duplicates import CandleFilter, Newest, RecentIds

Category: TypeAlias = Literal["spot", "linear", "inverse"]
CATEGORIES: Final[tuple[Category, ...]] = ("spot", "linear", "inverse")
"""Bybit's markets; each has a URL of its own."""

Quote: TypeAlias = tuple[str | None, str | None, str | None, str | None]


class Market:
    """One symbol's memory."""

    def __init__(self, symbol: str, category: Category) -> None:
        self.symbol = symbol
        self.category: Category = category
        self.trades = RecentIds()
        self.liquidations = RecentIds()
        self.book = BookChain()
        self.candles: defaultdict[str, CandleFilter] = defaultdict(CandleFilter)
        self.forget_tickers()

    def forget_tickers(self) -> None:
        """Wait for the next snapshot of tickers and of the best bid and ask."""
        self.ticker: TickerFields | None = None
        self.ticker_time = Newest()
        self.quote: Quote = (None, None, None, None)
        self.quote_time = Newest()
