"""Which feeds are stored, and where: a feed is one channel of one symbol, candles by timeframe."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import asyncpg

from daemon.storage.database import Connection


@dataclass(frozen=True)
class EventTable:
    """One base table of events."""

    name: str
    channel: str
    time: str = "ts"
    """The column that its rows are ordered, cut and dropped by."""
    order: str = "ts, recv_ns"

    @property
    def sql(self) -> str:
        """The table's name in SQL."""
        return f"md.{self.name}"

    @property
    def timeframe(self) -> str:
        """What tells its feeds apart beside the instrument, in SQL over the alias e: candles have a timeframe."""
        return "e.timeframe" if self.channel == "candle" else "''"


TABLES: Final = (
    EventTable("trades", "trade", order="ts, length(id), id"),
    EventTable("tickers", "ticker"),
    EventTable("book_snapshots", "book"),
    EventTable("book_deltas", "book"),
    EventTable("candles", "candle", "open_ts", "open_ts"),
    EventTable("funding_rates", "funding"),
    EventTable("open_interest", "open_interest"),
    EventTable("liquidations", "liquidation"),
    EventTable("mark_prices", "mark_price"),
)


@dataclass(frozen=True)
class Selection:
    """What a command is about; None is no restriction. Times are ns since the epoch, `until` excluded."""

    exchange: str | None = None
    symbol: str | None = None
    channel: str | None = None
    timeframe: str | None = None
    since: int | None = None
    until: int | None = None

    def tables(self) -> Iterator[EventTable]:
        """Yield the tables of the chosen channel."""
        for table in TABLES:
            if self.channel in (None, table.channel) and (self.timeframe is None or table.channel == "candle"):
                yield table


@dataclass(frozen=True)
class Rows:
    """The rows of one feed in one table, and the span that they cover (both ends included)."""

    table: EventTable
    instrument: int
    exchange: str
    symbol: str
    timeframe: str
    """Empty for what is no candle."""
    first: datetime
    last: datetime

    @property
    def where(self) -> str:
        """The condition over the alias e that gives these rows, from $3 and before $4."""
        more = "and e.timeframe = $2" if self.timeframe else "and $2::text = ''"
        return f"e.instrument_id = $1 {more} and e.{self.table.time} >= $3 and e.{self.table.time} < $4"

    def bounds(self, start: datetime, end: datetime) -> tuple[int, str, datetime, datetime]:
        """The arguments of `where`."""
        return self.instrument, self.timeframe, start, end

    @property
    def name(self) -> str:
        """The feed in words."""
        return " ".join(filter(None, (self.exchange, self.symbol, self.table.channel, self.timeframe)))


async def stored(connection: Connection, selection: Selection) -> list[Rows]:
    """Return what is stored of a selection, by exchange, symbol, channel and timeframe."""
    found = []
    instruments = await connection.fetch(
        "select instrument_id, exchange, symbol from md.instruments where exchange = coalesce($1, exchange) "
        "and symbol = coalesce($2, symbol) order by exchange, symbol",
        selection.exchange, selection.symbol,
    )  # fmt: skip
    for instrument in instruments:
        for table in selection.tables():
            for timeframe in await _timeframes(connection, table, instrument["instrument_id"]):
                if selection.timeframe not in (None, timeframe):
                    continue
                rows = await _span(connection, table, instrument, timeframe, selection)
                if rows is not None:
                    found.append(rows)
    return found


async def within(connection: Connection, rows: Rows, start: datetime, end: datetime) -> Rows:
    """Return the same feed's rows of another span. Raises LookupError where there are none."""
    row = await connection.fetchrow(
        f"select min(e.{rows.table.time}) as first, max(e.{rows.table.time}) as last "  # noqa: S608 # our own names
        f"from {rows.table.sql} e where {rows.where}",
        *rows.bounds(start, end),
    )
    if row is None or row["first"] is None:
        raise LookupError(rows.name)
    return replace(rows, first=row["first"], last=row["last"])


async def _timeframes(connection: Connection, table: EventTable, instrument: int) -> list[str]:
    """Step from one timeframe to the next through the key: asking for the distinct ones reads every row."""
    if table.channel != "candle":
        return [""]
    found = await connection.fetch(
        "with recursive t as ((select min(timeframe) as tf from md.candles where instrument_id = $1) union all "
        "select (select min(timeframe) from md.candles where instrument_id = $1 and timeframe > t.tf) from t "
        "where t.tf is not null) select tf from t where tf is not null",
        instrument,
    )
    return [row["tf"] for row in found]


async def _span(
    connection: Connection, table: EventTable, instrument: "asyncpg.Record", timeframe: str, selection: Selection
) -> Rows | None:
    more = "and timeframe = $2" if timeframe else "and $2::text = ''"
    row = await connection.fetchrow(
        f"select min({table.time}) as first, max({table.time}) as last from {table.sql} where instrument_id = $1 "  # noqa: S608 # our own names
        f"{more} and {table.time} >= coalesce(md.at($3), '-infinity') "
        f"and {table.time} < coalesce(md.at($4), 'infinity')",
        instrument["instrument_id"], timeframe, selection.since, selection.until,
    )  # fmt: skip
    if row is None or row["first"] is None:
        return None
    known: dict[str, Any] = {key: instrument[key] for key in ("exchange", "symbol")}
    return Rows(table, instrument["instrument_id"], **known, timeframe=timeframe, first=row["first"], last=row["last"])
