"""Where each kind of event is stored: the table, its columns, the row, and what happens to one that stands already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from bus.events import (
    Book,
    Breaker,
    Candle,
    Dead,
    Event,
    Feed,
    Funding,
    Gap,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Quality,
    Ticker,
    Trade,
)
from handlers.persistence.text import boolean, is_plain, levels, number, payload, text, timestamp, timestamp_or_null

Row = Callable[[Any, int], str]
"""Makes an event's line from the event and its instrument's id (0 for system events)."""


@dataclass(frozen=True, eq=False)
class Table:
    """One base table. `update` is empty where a row never changes once it stands."""

    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    row: Row
    update: str = ""
    newest: str = ""
    """Where rows change: which of several with one key in a batch counts, the first in this SQL order."""
    plain: Row | None = None
    """Makes the same line where nothing wants escaping, at three quarters of the cost: for the most frequent rows."""

    @property
    def sql(self) -> str:
        """The table's name in SQL."""
        return f"{self.schema}.{self.name}"

    @property
    def keyed(self) -> bool:
        """Whether its rows are keyed by instrument: those of market events are."""
        return self.schema == "md"

    def lines(self, events: Sequence[Any], ids: Mapping[tuple[str, str], int]) -> bytes:
        """Return the rows of events as COPY text. `ids`: of the instruments, by exchange and symbol."""
        if self.plain is not None:
            plain = self.plain
            lines = "".join([plain(e, ids[e.exchange, e.symbol]) for e in events]).encode()
            if is_plain(lines, len(self.columns) * len(events)):
                return lines
        row = self.row
        rows = [row(e, ids[e.exchange, e.symbol]) for e in events] if self.keyed else [row(e, 0) for e in events]
        return "".join(rows).encode()

    @property
    def settle(self) -> str:
        """What an INSERT does with a row whose key stands already."""
        return self.update or "do nothing"


def _trade(e: Trade, instrument: int) -> str:
    return _plain_trade(replace(e, id=text(e.id), price=text(e.price), amount=text(e.amount)), instrument)


def _plain_trade(e: Trade, instrument: int) -> str:
    moment = timestamp(e.recv if e.ts is None else e.ts)
    return f"{instrument}\t{moment}\t{e.id}\t{e.price}\t{e.amount}\t{e.side}\t{e.recv}\t{e.source}\n"


def _ticker(e: Ticker, instrument: int) -> str:
    values = (e.bid, e.bid_size, e.ask, e.ask_size, e.last, e.open, e.high, e.low, e.volume, e.quote_volume)
    moment = timestamp(e.recv if e.ts is None else e.ts)
    return f"{instrument}\t{moment}\t{e.recv}\t" + "\t".join(map(number, values)) + f"\t{e.source}\n"


def _book(e: Book, instrument: int) -> str:
    ids = "\t".join(map(number, (e.first_id, e.last_id, e.prev_id, e.checksum)))
    moment = timestamp(e.recv if e.ts is None else e.ts)
    return f"{instrument}\t{moment}\t{e.recv}\t{ids}\t{levels(e.bids)}\t{levels(e.asks)}\t{e.source}\n"


def _line(*values: str) -> str:
    return "\t".join(values) + "\n"


def _moment(e: Any) -> str:
    return timestamp(e.recv if e.ts is None else e.ts)


def _candle(e: Candle, instrument: int) -> str:
    return _line(
        str(instrument), text(e.timeframe), timestamp(e.open_ts), _moment(e), number(e.open), number(e.high),
        number(e.low), number(e.close), number(e.volume), number(e.trades), boolean(e.closed), str(e.recv), e.source,
    )  # fmt: skip


def _funding(e: Funding, instrument: int) -> str:
    return _line(str(instrument), _moment(e), number(e.rate), timestamp_or_null(e.next_ts), str(e.recv), e.source)


def _mark(e: MarkPrice, instrument: int) -> str:
    return _line(str(instrument), _moment(e), str(e.recv), number(e.mark), number(e.index), e.source)


def _interest(e: OpenInterest, instrument: int) -> str:
    return _line(str(instrument), _moment(e), str(e.recv), number(e.amount), number(e.value), e.source)


def _liquidation(e: Liquidation, instrument: int) -> str:
    return _line(
        str(instrument), _moment(e), str(e.recv), text(e.id), e.side, number(e.price), number(e.amount), e.source
    )


def _gap(e: Gap, _: int) -> str:
    return _line(
        text(e.id), text(e.exchange), text(e.symbol), text(e.channel), timestamp_or_null(e.from_ts),
        timestamp_or_null(e.to_ts), text(e.from_id), text(e.to_id), e.state, text(e.reason), timestamp(e.ts),
        timestamp(e.ts),
    )  # fmt: skip


def _quality(e: Quality, _: int) -> str:
    return _line(
        text(e.exchange), text(e.symbol), text(e.channel), timestamp(e.ts), text(e.rule), e.severity,
        text(e.event_ref), text(e.detail),
    )  # fmt: skip


def _feed(e: Feed, _: int) -> str:
    return _line(text(e.exchange), text(e.symbol), text(e.channel), timestamp(e.ts), e.state, text(e.reason))


def _breaker(e: Breaker, _: int) -> str:
    return _line(text(e.exchange), e.kind, timestamp(e.ts), e.state, timestamp_or_null(e.until), text(e.reason))


def _dead(e: Dead, _: int) -> str:
    return _line(text(e.id), timestamp(e.ts), text(e.origin), text(e.handler), text(e.reason), payload(e.payload))


_BOOK = ("instrument_id", "ts", "recv_ns", "first_id", "last_id", "prev_id", "checksum", "bids", "asks", "source")
_ID_TS_RECV = ("instrument_id", "ts", "recv_ns")

_NEWER_CANDLE = (
    "do update set ts = excluded.ts, open = excluded.open, high = excluded.high, low = excluded.low, "
    "close = excluded.close, volume = excluded.volume, trades = excluded.trades, closed = excluded.closed, "
    "recv_ns = excluded.recv_ns, source = excluded.source "
    "where (excluded.closed, excluded.source <> 'derived', excluded.recv_ns) "
    "> (candles.closed, candles.source <> 'derived', candles.recv_ns)"
)
"""A candle grows until it is closed; a closed one is never overwritten by an open one, the exchange's own never by one
that we have built, and none by an older one."""
_NEWER_GAP = (
    "do update set from_ts = excluded.from_ts, to_ts = excluded.to_ts, from_id = excluded.from_id, "
    "to_id = excluded.to_id, state = excluded.state, reason = excluded.reason, ts = excluded.ts "
    "where excluded.ts >= feed_gaps.ts"
)

BOOK_SNAPSHOTS: Final = Table("md", "book_snapshots", _BOOK, _ID_TS_RECV, _book)
TABLES: Final[dict[type[Event], Table]] = {
    Trade: Table(
        "md", "trades", ("instrument_id", "ts", "id", "price", "amount", "side", "recv_ns", "source"),
        ("instrument_id", "ts", "id"), _trade, plain=_plain_trade,
    ),
    Ticker: Table(
        "md", "tickers", (*_ID_TS_RECV, "bid", "bid_size", "ask", "ask_size", "last", "open", "high", "low", "volume",
        "quote_volume", "source"), _ID_TS_RECV, _ticker,
    ),
    Book: Table("md", "book_deltas", _BOOK, _ID_TS_RECV, _book),
    Candle: Table(
        "md", "candles", ("instrument_id", "timeframe", "open_ts", "ts", "open", "high", "low", "close", "volume",
        "trades", "closed", "recv_ns", "source"), ("instrument_id", "timeframe", "open_ts"), _candle, _NEWER_CANDLE,
        "closed desc, source <> 'derived' desc, recv_ns desc, ctid",
    ),
    Funding: Table(
        "md", "funding_rates", ("instrument_id", "ts", "rate", "next_ts", "recv_ns", "source"), _ID_TS_RECV, _funding
    ),
    MarkPrice: Table("md", "mark_prices", (*_ID_TS_RECV, "mark", "index", "source"), _ID_TS_RECV, _mark),
    OpenInterest: Table("md", "open_interest", (*_ID_TS_RECV, "amount", "value", "source"), _ID_TS_RECV, _interest),
    Liquidation: Table(
        "md", "liquidations", (*_ID_TS_RECV, "id", "side", "price", "amount", "source"), _ID_TS_RECV, _liquidation
    ),
    Gap: Table(
        "public", "feed_gaps", ("id", "exchange", "symbol", "channel", "from_ts", "to_ts", "from_id", "to_id", "state",
        "reason", "ts", "detected_at"), ("id",), _gap, _NEWER_GAP, "ts desc, ctid desc",
    ),
    Quality: Table(
        "public", "quality_flags", ("exchange", "symbol", "channel", "ts", "rule", "severity", "event_ref", "detail"),
        ("exchange", "symbol", "channel", "ts", "rule", "event_ref"), _quality,
    ),
    Feed: Table(
        "public", "feed_events", ("exchange", "symbol", "channel", "ts", "state", "reason"),
        ("exchange", "symbol", "channel", "ts", "state"), _feed,
    ),
    Breaker: Table(
        "public", "breaker_events", ("exchange", "kind", "ts", "state", "until", "reason"),
        ("exchange", "kind", "ts", "state"), _breaker,
    ),
    Dead: Table(
        "public", "dead_letters", ("id", "ts", "origin", "handler", "reason", "payload"), ("id",), _dead
    ),
}  # fmt: skip
"""The table of every event type; a book snapshot has one of its own. A task's row is written by who runs the task."""
