"""What one exchange's feeds have published: trades by id, candles by their values, books that have begun."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from bus.errors import MalformedFrame
from bus.events import Trade
from daemon.collectors.ccxt.digits import digits
from daemon.collectors.ccxt.levels import BookMemory
from daemon.exchanges.base import FeedKey

TRADES: Final = 2_000
"""Trades remembered for each symbol; after a reconnection exchanges repeat at most a thousand."""
ROWS: Final = 16
"""Candles remembered for each feed."""
EQUALS: Final = 1_000


class TradeMemory:
    """Which trades of one symbol have been published, and names for trades without an id of their own.

    ccxt gives exchanges' ids as strings that need not be numbers or rise, so the last ones are simply remembered.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._looks: Counter[int] = Counter()
        self._equals: OrderedDict[tuple[Any, ...], int] = OrderedDict()

    def fresh(self, trade: Trade) -> bool:
        """Return whether this trade did not come before, and remember it."""
        if trade.id in self._seen:
            return False
        look = _look(trade)
        self._seen[trade.id] = look
        self._looks[look] += 1
        if len(self._seen) > TRADES:
            gone = self._seen.pop(next(iter(self._seen)))
            self._looks[gone] -= 1
            if not self._looks[gone]:
                del self._looks[gone]
        return True

    def differently_named(self, trades: Iterable[Trade]) -> bool:
        """Tell whether these are trades that came before under other ids: so are most that look familiar."""
        familiar = [(trade.id, look) for trade in trades if (look := _look(trade)) in self._looks]
        return 2 * sum(self._seen.get(identity) == look for identity, look in familiar) < len(familiar)

    def knows(self, identity: str) -> bool:
        """Return whether this id came before."""
        return identity in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    def name(self, data: dict[str, Any]) -> str:
        """Return an id for a trade that has none: time, price, amount, side, and which of its equals it is.

        Counting begins anew with each connection, so that what an exchange repeats gets the same names.
        """
        key = (data.get("timestamp"), _plain(data.get("price")), _plain(data.get("amount")), data.get("side"))
        count = self._equals.pop(key, 0)
        self._equals[key] = count + 1
        if len(self._equals) > EQUALS:
            self._equals.popitem(last=False)
        return ":".join(map(str, (*key, count)))

    def reconnected(self) -> None:
        """Begin to count equal trades anew."""
        self._equals.clear()


def _plain(value: Any) -> str:
    """Return a number in one way of writing it: stream and history may differ in zeros at the end."""
    try:
        return f"{Decimal(digits(value)).normalize():f}"
    except MalformedFrame:
        return str(value)


def _look(trade: Trade) -> int:
    """Return a number for what a trade looks like."""
    return hash((trade.ts, Decimal(trade.price), Decimal(trade.amount), trade.side))


class CandleMemory:
    """What one candle feed has published. ccxt does not say when a candle is closed: it is when the next one opens."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[tuple[Any, ...], bool]] = {}
        self._current: int | None = None

    def changed(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Sequence[Any], bool]]:
        """Return the rows that are news and whether each is closed, oldest first."""
        if not rows:
            return []
        found = {row[0]: row for row in rows}
        newest = max(*found, self._current or 0)
        if self._current is not None and self._current < newest:
            found.setdefault(self._current, self._rows[self._current][0])
        self._current = newest
        ordered = sorted(found.items())
        return [(row, when < newest) for when, row in ordered if self._is_news(row, closed=when < newest)]

    def _is_news(self, row: Sequence[Any], *, closed: bool) -> bool:
        state = (tuple(row), closed)
        if self._rows.get(row[0]) == state:
            return False
        self._rows[row[0]] = state
        if len(self._rows) > ROWS:
            del self._rows[min(self._rows)]
        return True

    def reconnected(self) -> None:
        """Forget the open candle: what of it was missed is not known."""
        self._current = None


class Memory:
    """The memories of all feeds of one exchange."""

    def __init__(self) -> None:
        self._trades: dict[str, TradeMemory] = {}
        self._candles: dict[FeedKey, CandleMemory] = {}
        self._books: dict[str, BookMemory] = {}

    def trades(self, symbol: str) -> TradeMemory:
        """Return the memory of a symbol's trades."""
        return self._trades.setdefault(symbol, TradeMemory())

    def candles(self, feed: FeedKey) -> CandleMemory:
        """Return the memory of a candle feed."""
        return self._candles.setdefault(feed, CandleMemory())

    def book(self, symbol: str) -> BookMemory:
        """Return the memory of a symbol's book."""
        return self._books.setdefault(symbol, BookMemory())

    def interrupted(self, feed: FeedKey) -> None:
        """Note that a feed's connection is lost: what comes next does not follow on what came before."""
        if feed.channel == "book":
            self.book(feed.symbol).begin_anew()
        elif feed.channel == "trade":
            self.trades(feed.symbol).reconnected()
        elif feed.channel == "candle":
            self.candles(feed).reconnected()

    def forget(self, feeds: Iterable[FeedKey]) -> None:
        """Let go of what belongs to feeds that nobody wants any more."""
        for feed in feeds:
            if feed.channel == "book":
                self._books.pop(feed.symbol, None)
            elif feed.channel == "trade":
                self._trades.pop(feed.symbol, None)
            elif feed.channel == "candle":
                self._candles.pop(feed, None)

    def lost(self, feeds: Iterable[FeedKey]) -> None:
        """Let the books of these feeds begin anew."""
        for feed in feeds:
            self.book(feed.symbol).begin_anew()
