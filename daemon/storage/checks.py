"""What is looked for in each table of events, as SQL over the alias e."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bus import timeframes
from bus.clock import MICROSECOND

OUTLIER_LEAST: Final = 0.005
"""The least relative distance of an outlier from both of its neighbours, and …"""
OUTLIER_STEPS: Final = 25
"""… so many times the median distance between neighbours."""
FUTURE_US: Final = 5_000_000
"""An exchange's clock may be this far before ours."""
ABSURD_FUNDING: Final = "0.05"
"""Per interval; exchanges cap it at 0.5 to 4 percent."""
_AHEAD: Final = f"(extract(epoch from e.ts) * 1000000)::int8 > e.recv_ns / {MICROSECOND} + {FUTURE_US}"


@dataclass(frozen=True)
class Checks:
    """The checks of one table. Empty: there is no such thing to look for."""

    same: str = ""
    """Rows that agree in this are one event, stored more than once."""
    logic: str = "false"
    """The row contradicts itself."""
    misaligned: str = _AHEAD
    """The row's time cannot be right."""
    high: str = ""
    low: str = ""
    """The values by which a row is told from its neighbours; the same one where the row has a single price."""
    slice: timedelta = timedelta(days=1)
    """What is read at once."""


CHECKS: Final = {
    "trades": Checks("e.id", "e.price <= 0 or e.amount <= 0", high="e.price", low="e.price"),
    "tickers": Checks(
        "e.ts, e.bid, e.bid_size, e.ask, e.ask_size, e.last, e.open, e.high, e.low, e.volume, e.quote_volume",
        "coalesce(e.bid >= e.ask or e.high < e.low or e.last not between e.low and e.high, "
        "e.bid >= e.ask, e.high < e.low, false)",
        high="e.bid",
        low="e.bid",
    ),
    "book_snapshots": Checks(logic="coalesce(e.bids[1][1] >= e.asks[1][1], true)"),
    "book_deltas": Checks("e.first_id, e.last_id, e.ts"),
    "candles": Checks(
        logic="e.high < greatest(e.open, e.close, e.low) or e.low > least(e.open, e.close) or e.low <= 0 "
        "or e.volume < 0 or coalesce(e.trades < 0, false)",
        high="e.high",
        low="e.low",
        slice=timedelta(days=366),
    ),
    "funding_rates": Checks("e.ts, e.rate", f"abs(e.rate) > {ABSURD_FUNDING}", slice=timedelta(days=366)),
    "open_interest": Checks(
        "e.ts, e.amount", "e.amount < 0", high="e.amount", low="e.amount", slice=timedelta(days=31)
    ),
    "liquidations": Checks("e.ts, e.id, e.side, e.price, e.amount", "e.price <= 0 or e.amount <= 0"),
    "mark_prices": Checks("e.ts, e.mark, e.index", "e.mark <= 0", high="e.mark", low="e.mark"),
}
"""By table. A book without bids or asks, or crossed, contradicts itself; so does a quote with its bid at its ask."""


def off_grid(timeframe: str) -> str:
    """Return the condition that a candle opens where none of its timeframe can, as `timeframes.opens_at` has it."""
    if timeframe[-1:] == "M":
        return "e.open_ts <> date_trunc('month', e.open_ts, 'UTC')"
    day, week = 86_400_000_000, 604_800_000_000
    length = (timeframes.following(timeframe, 0)) // MICROSECOND
    if not length:
        return "false"
    grid, offset = (week, 4 * day) if timeframe[-1] == "w" else (min(length, day), 0)
    return f"((extract(epoch from e.open_ts) * 1000000)::int8 - {offset}) % {grid} <> 0"
