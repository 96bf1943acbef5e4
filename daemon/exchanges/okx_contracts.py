"""What OKX streams of contracts alone: funding rates, open interest, mark prices and liquidations.

https://www.okx.com/docs-v5/en/#public-data-websocket
"""

from collections.abc import Sequence
from typing import Final

from bus.clock import MILLISECOND
from bus.events import Funding, Liquidation, MarkPrice, OpenInterest
from daemon.exchanges.answers import Stamp
from daemon.exchanges.decimals import check, check_given, check_signed
from daemon.exchanges.okx_messages import FundingItem, InterestItem, LiquidationDetail, MarkItem

CHANNELS: Final = {
    "funding": "funding-rate",
    "open_interest": "open-interest",
    "mark_price": "mark-price",
    "liquidation": "liquidation-orders",
}
"""OKX's names of the channels."""


def fundings(items: Sequence[FundingItem], stamp: Stamp) -> list[Funding]:
    """Read the running period's rates. Raises MalformedFrame."""
    check_signed(*(item.fundingRate for item in items))
    return [
        Funding(
            stamp.exchange, stamp.symbol, item.ts * MILLISECOND, stamp.recv, stamp.source,
            item.fundingRate, item.fundingTime * MILLISECOND,
        )
        for item in items
    ]  # fmt: skip


def interests(items: Sequence[InterestItem], stamp: Stamp, *, dollars: bool) -> list[OpenInterest]:
    """Read open interest. Raises MalformedFrame.

    `dollars`: the quote is the dollar itself, so that `oiUsd` is the value in quote units.
    """
    check((), [item.oiCcy for item in items])
    check_given(*(item.oiUsd for item in items))
    return [
        OpenInterest(
            stamp.exchange, stamp.symbol, item.ts * MILLISECOND, stamp.recv, stamp.source, item.oiCcy,
            item.oiUsd or None if dollars else None,
        )
        for item in items
    ]  # fmt: skip


def marks(items: Sequence[MarkItem], stamp: Stamp) -> list[MarkPrice]:
    """Read mark prices. Raises MalformedFrame."""
    check([item.markPx for item in items])
    return [
        MarkPrice(stamp.exchange, stamp.symbol, item.ts * MILLISECOND, stamp.recv, stamp.source, item.markPx)
        for item in items
    ]


def liquidation(d: LiquidationDetail, stamp: Stamp) -> Liquidation:
    """Read a checked liquidation."""
    ts = d.ts * MILLISECOND
    return Liquidation(stamp.exchange, stamp.symbol, ts, stamp.recv, stamp.source, None, d.side, d.bkPx, d.sz)
