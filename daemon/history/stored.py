"""What of a feed's history stands in the database."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from bus.clock import MICROSECOND
from bus.errors import StoreUnavailable, said
from daemon.exchanges.base import FeedKey
from daemon.history.slices import Slice
from handlers.persistence.instruments import learn_ids

TIMEOUT: Final = 60.0
FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS: Final = "(extract(epoch from {}) * 1000000)::int8 * 1000"
_CANDLES: Final = "md.candles where instrument_id = $1 and timeframe = $2 and closed and open_ts >= $3 and open_ts < $4"
_TRADES: Final = "md.trades where instrument_id = $1 and $2 = '' and ts >= $3 and ts < $4"
_EDGES: Final = """
select count(*) as count, min(id::int8) as first, max(id::int8) as last,
    (select id::int8 from md.trades where instrument_id = $1 and ts < $2
        order by ts desc, length(id) desc, id desc limit 1) as before,
    (select id::int8 from md.trades where instrument_id = $1 and ts >= $3 order by ts, length(id), id limit 1) as after
from md.trades where instrument_id = $1 and ts >= $2 and ts < $3
"""


_AGAINST_MINUTES: Final = """
select (extract(epoch from o.open_ts) * 1000000)::int8 * 1000 as ts, o.open, o.high, o.low, o.close, o.volume,
    m.open as open_m, m.high as high_m, m.low as low_m, m.close as close_m, m.volume as volume_m
from md.candles o cross join lateral (
    select count(*) as minutes, (array_agg(open order by open_ts))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by open_ts desc))[1] as close, sum(volume) as volume
    from md.candles where instrument_id = o.instrument_id and timeframe = '1m' and closed
        and open_ts >= o.open_ts and open_ts < o.open_ts + $5
) m
where o.instrument_id = $1 and o.timeframe = $2 and o.closed and o.source <> 'derived' and o.open_ts >= $3
    and o.open_ts < $4 and m.minutes = extract(epoch from $5) / 60 order by o.open_ts
"""


class Standing(NamedTuple):
    """Rows of a slice that are stored; `known`: how many there were when the exchange had been asked, if it was."""

    rows: int
    known: int | None


class Stored:
    """The stored past of one exchange. All raise StoreUnavailable."""

    def __init__(self, pool: "asyncpg.Pool[Any]", exchange: str) -> None:
        self._pool = pool
        self._exchange = exchange
        self._ids: dict[str, int] = {}

    async def standing(self, part: Slice) -> Standing:
        """Return how much of a slice stands."""
        table = _CANDLES if part.feed.timeframe else _TRADES
        (row,) = await self._rows(
            f"select (select count(*) from {table}) as rows, (select rows from md.history_slices where "  # noqa: S608 # our own words
            "instrument_id = $1 and channel = $5 and timeframe = $2 and from_ts = $3 and to_ts = $4) as known",
            await self._id(part.feed), part.feed.timeframe, _moment(part.start), _moment(part.end), part.feed.channel,
        )  # fmt: skip
        return Standing(row["rows"], row["known"])

    async def remember(self, part: Slice, rows: int) -> None:
        """Note how many rows a slice has after the exchange was asked for it."""
        await self._rows(
            "insert into md.history_slices (instrument_id, channel, timeframe, from_ts, to_ts, rows) "
            "values ($1, $2, $3, $4, $5, $6) on conflict (instrument_id, channel, timeframe, from_ts, to_ts) "
            "do update set rows = excluded.rows",
            await self._id(part.feed), part.feed.channel, part.feed.timeframe, _moment(part.start), _moment(part.end),
            rows,
        )  # fmt: skip

    async def candles(self, feed: FeedKey, start: int, end: int) -> list[int]:
        """Return when the closed candles of a feed open (ns), in order."""
        rows = await self._rows(
            f"select {_NS.format('open_ts')} as ts from {_CANDLES} order by open_ts",  # noqa: S608 # our own words
            await self._id(feed), feed.timeframe, _moment(start), _moment(end),
        )  # fmt: skip
        return [row["ts"] for row in rows]

    async def unbroken(self, part: Slice) -> bool:
        """Tell whether the ids of a slice's trades follow on each other, and on those around it."""
        (row,) = await self._rows(_EDGES, await self._id(part.feed), _moment(part.start), _moment(part.end))
        if row["before"] is None or row["after"] is None:
            return False
        if not row["count"]:
            return bool(row["after"] == row["before"] + 1)
        inside = row["count"] == row["last"] - row["first"] + 1
        return bool(inside and row["first"] == row["before"] + 1 and row["after"] == row["last"] + 1)

    async def missing_ids(self, feed: FeedKey, start: int, end: int) -> list[tuple[int, int]]:
        """Return the ranges of trade ids that are missing between two times, both ends included."""
        rows = await self._rows(
            "select before + 1 as first, id - 1 as last from (select id::int8, lag(id::int8) over "  # noqa: S608 # our own words
            f"(order by id::int8) as before from {_TRADES}) ordered where id > before + 1 order by id",
            await self._id(feed), "", _moment(start), _moment(end),
        )  # fmt: skip
        return [(row["first"], row["last"]) for row in rows]

    async def volumes(self, feed: FeedKey, start: int, end: int) -> "list[asyncpg.Record]":
        """Return the traded volume of each minute with trades: `ts` (ns), `volume`."""
        return await self._rows(
            f"select {_NS.format('minute')} as ts, volume from (select date_trunc('minute', ts) as minute, "  # noqa: S608 # our own words
            f"sum(amount) as volume from {_TRADES} group by 1) minutes",
            await self._id(feed), "", _moment(start), _moment(end),
        )  # fmt: skip

    async def against_minutes(self, feed: FeedKey, start: int, end: int, length: int) -> "list[asyncpg.Record]":
        """Return the exchange's own candles of a length (ns) beside what its one-minute candles make of them.

        Only those of which every minute is stored; the second values are named `open_m` and so on.
        """
        return await self._rows(
            _AGAINST_MINUTES, await self._id(feed), feed.timeframe, _moment(start), _moment(end),
            timedelta(microseconds=length // MICROSECOND),
        )  # fmt: skip

    async def _id(self, feed: FeedKey) -> int:
        if feed.symbol not in self._ids:
            name = self._exchange, feed.symbol
            try:
                self._ids[feed.symbol] = (await learn_ids(self._pool, {name}))[name]
            except FAILURES as error:
                raise _unavailable(error) from error
        return self._ids[feed.symbol]

    async def _rows(self, query: str, *arguments: object) -> "list[asyncpg.Record]":
        try:
            return await self._pool.fetch(query, *arguments, timeout=TIMEOUT)
        except FAILURES as error:
            raise _unavailable(error) from error


def _moment(ns: int) -> datetime:
    """Return a time as PostgreSQL takes it: microseconds, exactly."""
    return _EPOCH + timedelta(microseconds=ns // MICROSECOND)


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"cannot read what is stored: {said(error)}")
