"""OKX's tickers: best bid and ask with 24-hour statistics.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-tickers-channel
"""

from bus.clock import MILLISECOND
from bus.events import Ticker
from daemon.exchanges.answers import Stamp
from daemon.exchanges.decimals import above_zero, check_given
from daemon.exchanges.okx_messages import TickerItem


def ticker(t: TickerItem, stamp: Stamp, *, spot: bool) -> Ticker:
    """Read a ticker, whose volume in quote currency is that of `spot` alone. Raises MalformedFrame."""
    check_given(t.bidPx, t.bidSz, t.askPx, t.askSz, t.last, t.open24h, t.high24h, t.low24h, t.vol24h, t.volCcy24h)
    bid, ask = above_zero(t.bidPx), above_zero(t.askPx)
    return Ticker(
        stamp.exchange, stamp.symbol, t.ts * MILLISECOND, stamp.recv, stamp.source,
        bid, t.bidSz or None if bid else None, ask, t.askSz or None if ask else None,
        above_zero(t.last), above_zero(t.open24h), above_zero(t.high24h), above_zero(t.low24h),
        t.vol24h or None, t.volCcy24h or None if spot else None,
    )  # fmt: skip
