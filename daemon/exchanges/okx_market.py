"""What is remembered of one OKX instrument: its name, what was published, where its book stands."""

from collections import defaultdict

from daemon.exchanges.base import Instrument
from daemon.exchanges.book_chain import BookChain
from daemon.exchanges.duplicates import CandleFilter, IdFilter, Newest, RecentIds
from daemon.exchanges.okx_messages import TickerItem


class Market:
    """One instrument's memory."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.symbol
        self.instrument = instrument
        self.book = BookChain()
        self.liquidations = RecentIds()
        self.candles: defaultdict[str, CandleFilter] = defaultdict(CandleFilter)
        self.ticker: TickerItem | None = None
        self.newest: defaultdict[str, Newest] = defaultdict(Newest)
        """By channel the time (ns) of the last ticker, funding rate, open interest and mark price."""
        self.forget_trades()

    def forget_trades(self) -> None:
        """Count the next trade as new, whatever its id."""
        self.trades = IdFilter()
        self.aggregates = IdFilter()
