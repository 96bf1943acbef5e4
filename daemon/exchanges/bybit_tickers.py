"""What Bybit's tickers become: one topic carries statistics, quotes, funding, open interest and mark prices.

https://bybit-exchange.github.io/docs/v5/websocket/public/ticker
"""

from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from bus.clock import MILLISECOND
from bus.events import AnyMarketEvent, Funding, Level, MarkPrice, OpenInterest, Source, Ticker
from daemon.exchanges.answers import nanoseconds
from daemon.exchanges.bybit_books import BookMessage
from daemon.exchanges.bybit_market import Market, Quote
from daemon.exchanges.bybit_messages import TickerFields, TickerMessage
from daemon.exchanges.decimals import above_zero, check_given, check_signed, is_zero

_ticker: Final = attrgetter(
    "bid1Price", "bid1Size", "ask1Price", "ask1Size", "lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h",
    "volume24h", "turnover24h",
)  # fmt: skip
_funding: Final = attrgetter("fundingRate", "nextFundingTime")
_mark: Final = attrgetter("markPrice", "indexPrice")
_interest: Final = attrgetter("openInterest", "openInterestValue")


def tickers(market: Market, m: TickerMessage, exchange: str, recv: int, source: Source) -> list[AnyMarketEvent]:
    """Merge a message into what is known of a symbol; return an event for each channel that changed.

    A snapshot changes all, unless it repeats the last message. Raises MalformedFrame.
    """
    now = m.data if m.type == "snapshot" else _merged(market.ticker, m.data)
    old = TickerFields() if m.type == "snapshot" and m.ts > market.ticker_time.at else market.ticker or TickerFields()
    head = (exchange, market.symbol, m.ts * MILLISECOND, recv, source)
    events: list[AnyMarketEvent] = []
    if _ticker(now) != _ticker(old):
        events.append(Ticker(*head, *_statistics(now, market)))
    if _funding(now) != _funding(old) and now.fundingRate:
        check_signed(now.fundingRate)
        due = nanoseconds(now.nextFundingTime) if now.nextFundingTime else None
        events.append(Funding(*head, now.fundingRate, due))
    check_given(*_mark(now), *_interest(now))
    if _mark(now) != _mark(old) and (mark := above_zero(now.markPrice)):
        events.append(MarkPrice(*head, mark, above_zero(now.indexPrice)))
    if _interest(now) != _interest(old) and now.openInterest:
        amount, value = now.openInterest, now.openInterestValue or None
        if market.category != "inverse":
            events.append(OpenInterest(*head, amount, value))
        elif value:  # counted in dollars, its value in coins
            events.append(OpenInterest(*head, value, amount))
    market.ticker = now
    market.ticker_time.reach(m.ts, recv)
    return events


def _merged(known: TickerFields | None, news: TickerFields) -> TickerFields:
    changed = {name: value for name in news.__struct_fields__ if (value := getattr(news, name)) is not None}
    return replace(known or TickerFields(), **changed)


def _statistics(t: TickerFields, market: Market) -> tuple[str | None, ...]:
    """Return the fields of a Ticker. An inverse contract's turnover is in coins: it has no quote volume."""
    check_given(*_ticker(t))
    bid, ask = above_zero(t.bid1Price), above_zero(t.ask1Price)
    prices = map(above_zero, (t.lastPrice, t.prevPrice24h, t.highPrice24h, t.lowPrice24h))
    turnover = None if market.category == "inverse" else t.turnover24h or None
    return (
        bid, t.bid1Size or None if bid else None, ask, t.ask1Size or None if ask else None,
        *prices, t.volume24h or None, turnover,
    )  # fmt: skip


def quote(known: Quote, m: BookMessage) -> Quote:
    """Return best bid and ask after a message of `orderbook.1`: a snapshot, or levels that replace one another."""
    if m.type == "snapshot":
        known = (None, None, None, None)
    return *_best((known[0], known[1]), m.data.b), *_best((known[2], known[3]), m.data.a)


def _best(known: tuple[str | None, str | None], levels: list[Level]) -> tuple[str | None, str | None]:
    for price, amount in levels:
        if not is_zero(amount):
            known = price, amount
        elif price == known[0]:
            known = None, None
    return known
