"""What is remembered of one Binance symbol: its unified name, what was published, where its book stands."""

from collections import defaultdict
from collections.abc import Callable

from daemon.exchanges.book_sync import BookSync
from daemon.exchanges.duplicates import CandleFilter, IdFilter, Newest


class Market:
    """One symbol's memory. `ask` asks for a snapshot of its book; `linked`: see `BookSync`."""

    def __init__(self, symbol: str, ask: Callable[[], None], *, linked: bool) -> None:
        self.symbol = symbol
        self.book = BookSync(ask, linked=linked)
        self.forget_trades()
        self.forget_tickers()
        self.candles: defaultdict[str, CandleFilter] = defaultdict(CandleFilter)

    def forget_trades(self) -> None:
        """Count the next trade as new, whatever its id."""
        self.trades = IdFilter()
        self.aggregates = IdFilter()

    def forget_tickers(self) -> None:
        """Count the next best bid and ask and the next 24-hour statistics as new."""
        self.quotes = Newest()
        """By update id."""
        self.days = Newest()
        """By time (ns)."""
