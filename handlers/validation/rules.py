"""The rules: small pure functions, each looks at one event and says what is wrong, or None.

A rule gets the event and the memory of its symbol as it was before the event. `remember` comes after all rules.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from bus.clock import SECOND
from bus.events import Book, Candle, Event, Funding, MarketEvent, Severity, Ticker, Trade
from handlers.validation.memory import SymbolMemory

FUTURE: Final = 5 * SECOND
"""An exchange's clock may be this far before ours."""
OLD: Final = 60 * SECOND
"""A live event older than this has been held up."""
WARM_UP: Final = 50
"""Prices seen before one can be called an outlier."""
OUTLIER_STEPS: Final = 25.0
"""Times the usual step, and …"""
OUTLIER_LEAST: Final = 0.005
"""… at least this relative distance from the last price."""
REMEMBERED_TRADES: Final = 512
REMEMBERED_CANDLES: Final = 16
ABSURD_FUNDING: Final = 0.05
"""Per interval; exchanges cap it at 0.5 to 4 percent."""
LENGTHS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def future_time(event: MarketEvent, _: SymbolMemory) -> str | None:
    """The exchange's time lies in the future."""
    if event.ts is not None and event.ts > event.recv + FUTURE:
        return f"{(event.ts - event.recv) / SECOND:.3f} s ahead of our clock"
    return None


def late_arrival(event: MarketEvent, _: SymbolMemory) -> str | None:
    """A live event arrived long after its time."""
    if event.source == "ws" and event.ts is not None and event.recv > event.ts + OLD:
        return f"{(event.recv - event.ts) / SECOND:.3f} s old on arrival"
    return None


def outlier_price(trade: Trade, memory: SymbolMemory) -> str | None:
    """A price far from the last one, compared with the steps that this symbol usually makes."""
    prices = memory.price
    step = prices.step(float(trade.price))
    if prices.count >= WARM_UP and step > max(OUTLIER_LEAST, OUTLIER_STEPS * prices.usual_step):
        return f"{trade.price} is {step:.2%} from the last price"
    return None


def duplicate_trade(trade: Trade, memory: SymbolMemory) -> str | None:
    """The same trade came again (the same frame delivered again is no duplicate)."""
    before = memory.trades_seen.get(trade.id)
    return f"trade {trade.id} came before" if before is not None and before != trade.recv else None


def trade_out_of_order(trade: Trade, memory: SymbolMemory) -> str | None:
    """A trade id below one that came before."""
    if trade.source == "ws" and trade.id.isdecimal() and trade.recv > memory.trade_recv:
        number = int(trade.id)
        if 0 <= number < memory.trade_id and trade.id not in memory.trades_seen:
            return f"trade {trade.id} after {memory.trade_id}"
    return None


def trade_time_backwards(trade: Trade, memory: SymbolMemory) -> str | None:
    """A trade whose time lies before that of the one before it."""
    if trade.source == "ws" and trade.ts is not None and trade.recv > memory.trade_recv and trade.ts < memory.trade_ts:
        return f"{(memory.trade_ts - trade.ts) / SECOND:.3f} s before the trade before it"
    return None


def crossed_quote(ticker: Ticker, _: SymbolMemory) -> str | None:
    """The best bid is not below the best ask."""
    if ticker.bid is not None and ticker.ask is not None and float(ticker.bid) >= float(ticker.ask):
        return f"bid {ticker.bid} is not below ask {ticker.ask}"
    return None


def day_statistics(ticker: Ticker, _: SymbolMemory) -> str | None:
    """High below low, or the last price outside of them."""
    if ticker.high is None or ticker.low is None:
        return None
    high, low = float(ticker.high), float(ticker.low)
    if high < low:
        return f"high {ticker.high} is below low {ticker.low}"
    if ticker.last is not None and not low <= float(ticker.last) <= high:
        return f"last {ticker.last} lies outside {ticker.low} to {ticker.high}"
    return None


def ticker_time_backwards(ticker: Ticker, memory: SymbolMemory) -> str | None:
    """A ticker older than the one before it."""
    if ticker.ts is not None and ticker.ts < memory.ticker_ts and ticker.source == "ws":
        return f"{(memory.ticker_ts - ticker.ts) / SECOND:.3f} s before the ticker before it"
    return None


def crossed_book(book: Book, _: SymbolMemory) -> str | None:
    """A snapshot, or a delta in itself, whose best bid is not below its best ask."""
    bids = [float(price) for price, amount in book.bids if float(amount)]
    asks = [float(price) for price, amount in book.asks if float(amount)]
    if bids and asks and max(bids) >= min(asks):
        return f"bid {max(bids)} is not below ask {min(asks)}"
    return None


def one_sided_book(book: Book, _: SymbolMemory) -> str | None:
    """A snapshot without bids or without asks."""
    if book.kind == "snapshot" and not (book.bids and book.asks):
        return "no bids" if book.asks else "no asks" if book.bids else "an empty book"
    return None


def candle_logic(candle: Candle, _: SymbolMemory) -> str | None:
    """High and low must enclose open and close; volume and trades must not be negative."""
    opened, high, low, close = float(candle.open), float(candle.high), float(candle.low), float(candle.close)
    if high < max(opened, close, low) or low > min(opened, close):
        return f"open {candle.open} high {candle.high} low {candle.low} close {candle.close}"
    if float(candle.volume) < 0 or (candle.trades is not None and candle.trades < 0):
        return f"volume {candle.volume}, {candle.trades} trades"
    return None


def candle_off_grid(candle: Candle, _: SymbolMemory) -> str | None:
    """A candle that does not open at a multiple of its timeframe."""
    unit = LENGTHS.get(candle.timeframe[-1:])
    if unit and candle.timeframe[:-1].isdecimal() and candle.open_ts % (int(candle.timeframe[:-1]) * unit * SECOND):
        return f"a {candle.timeframe} candle opens at {candle.open_ts}"
    return None


def candle_changed(candle: Candle, memory: SymbolMemory) -> str | None:
    """A closed candle came again with other values; those that we build are corrected."""
    if candle.source == "derived":
        return None
    before = memory.candles.get((candle.timeframe, candle.open_ts))
    if candle.closed and before is not None and before != values(candle):
        return f"the {candle.timeframe} candle of {candle.open_ts} was {before} and is {values(candle)}"
    return None


def absurd_funding(funding: Funding, _: SymbolMemory) -> str | None:
    """A funding rate beyond what any exchange allows."""
    return f"rate {funding.rate}" if abs(float(funding.rate)) > ABSURD_FUNDING else None


def values(candle: Candle) -> tuple[str, ...]:
    """What makes two closed candles the same."""
    return (candle.open, candle.high, candle.low, candle.close, candle.volume)


Check: TypeAlias = Callable[..., str | None]


class Rule(NamedTuple):
    """A check and how bad it is when it speaks."""

    check: Check
    severity: Severity

    @property
    def name(self) -> str:
        """The rule's name in quality events."""
        return self.check.__name__


_TIME: Final = (Rule(future_time, "warning"), Rule(late_arrival, "warning"))
RULES: Final[dict[type[Event], tuple[Rule, ...]]] = {
    Trade: (
        *_TIME,
        Rule(outlier_price, "warning"),
        Rule(duplicate_trade, "warning"),
        Rule(trade_out_of_order, "warning"),
        Rule(trade_time_backwards, "info"),
    ),
    Ticker: (
        *_TIME,
        Rule(crossed_quote, "error"),
        Rule(day_statistics, "warning"),
        Rule(ticker_time_backwards, "info"),
    ),
    Book: (*_TIME, Rule(crossed_book, "error"), Rule(one_sided_book, "warning")),
    Candle: (
        *_TIME,
        Rule(candle_logic, "error"),
        Rule(candle_off_grid, "error"),
        Rule(candle_changed, "warning"),
    ),
    Funding: (*_TIME, Rule(absurd_funding, "warning")),
}
"""Every rule by the event that it looks at; other events are checked for their times alone."""
OTHERS: Final = _TIME


def remember(event: MarketEvent, memory: SymbolMemory) -> None:
    """Take an event into the memory of its symbol."""
    if type(event) is Trade:
        price = float(event.price)
        memory.price.take(price, memory.price.step(price))
        memory.trades_seen[event.id] = event.recv
        if len(memory.trades_seen) > REMEMBERED_TRADES:
            del memory.trades_seen[next(iter(memory.trades_seen))]
        if event.recv > memory.trade_recv:
            memory.trade_recv = event.recv
            memory.trade_ts = max(memory.trade_ts, event.ts or 0)
            if event.id.isdecimal():
                memory.trade_id = max(memory.trade_id, int(event.id))
    elif type(event) is Ticker:
        memory.ticker_ts = max(memory.ticker_ts, event.ts or 0)
    elif type(event) is Candle and event.closed:
        memory.candles[event.timeframe, event.open_ts] = values(event)
        if len(memory.candles) > REMEMBERED_CANDLES:
            del memory.candles[next(iter(memory.candles))]
