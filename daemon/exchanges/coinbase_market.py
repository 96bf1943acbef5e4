"""What is remembered of one Coinbase product: its unified name, what was published, where its book stands."""

from collections import defaultdict

from daemon.exchanges.book_chain import BookChain
from daemon.exchanges.candle_roll import CandleRoll
from daemon.exchanges.duplicates import IdFilter, Newest


class Market:
    """One product's memory."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.trades = IdFilter()
        self.quote: tuple[str | None, ...] = ()
        """The values of the last ticker."""
        self.quote_time = Newest()
        self.book = BookChain()
        self.candles: defaultdict[str, CandleRoll] = defaultdict(CandleRoll)
