"""How good the stored data of each feed is: what is missing, double, impossible or suspicious, and a score.

    score = completeness * (1 - (logic + misaligned + 0.5 * duplicates + 0.5 * outliers) / rows), from 0 to 1

completeness  candles: closed candles stored / candles that their span has room for; other feeds: the share of their
              span that lies in no gap of `feed_gaps` that is still open, being filled, or unfillable
duplicates    rows that tell what another row has told: a trade's id again, a quote with the same time and values again
logic         rows that contradict themselves: a candle's high below its close, a bid at or above its ask, a price of 0
misaligned    candles that open off their timeframe's grid; other rows stamped more than 5 s after they were received
outliers      rows that stand out from both neighbours by 0.5 % and by 25 times the median step between neighbours

An exchange that sends no candle for a minute without trades has that minute counted as missing. What live validation
flagged in the span is listed beside (`flags`), and is not part of the score.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Final

import msgspec

from bus import timeframes
from daemon.storage.checks import CHECKS, OUTLIER_LEAST, OUTLIER_STEPS, off_grid
from daemon.storage.database import Connection, Progress, connected, nanoseconds, snapshot
from daemon.storage.feeds import Rows, Selection, stored

FORMULA: Final = "completeness * (1 - (logic + misaligned + 0.5 * duplicates + 0.5 * outliers) / rows)"
_RESOLUTION: Final = Decimal("0.000001")
"""Scores are cut, not rounded: only a feed without a fault has 1."""


class Counts(msgspec.Struct):
    """What was counted in a feed's rows; adds up over slices of time."""

    rows: int = 0
    duplicates: int = 0
    logic: int = 0
    misaligned: int = 0
    outliers: int = 0

    def add(self, other: "Counts") -> None:
        """Take in the counts of another slice."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))


class Gaps(msgspec.Struct, frozen=True):
    """What `feed_gaps` has of a feed's span: gaps healed, gaps not healed, and the seconds that those cover."""

    filled: int = 0
    missing: int = 0
    missing_seconds: Decimal = Decimal(0)


class FeedQuality(msgspec.Struct, frozen=True):
    """The report on one feed between its first and last row."""

    exchange: str
    symbol: str
    channel: str
    timeframe: str | None
    first: datetime
    last: datetime
    counts: Counts
    gaps: Gaps
    completeness: Decimal
    score: Decimal
    flags: dict[str, int]


def score(completeness: Decimal, counts: Counts) -> Decimal:
    """Return the score as the module's formula has it, 0 where there are no rows."""
    if not counts.rows:
        return Decimal(0)
    faults = counts.logic + counts.misaligned + Decimal(counts.duplicates + counts.outliers) / 2
    clean = max(Decimal(0), 1 - faults / counts.rows)
    return (completeness * clean).quantize(_RESOLUTION, ROUND_DOWN)


async def validate(dsn: str, selection: Selection, progress: Progress) -> list[FeedQuality]:
    """Report on every selected feed, reading all of its rows. Progress is in slices of feeds.

    Raises StoreUnavailable.
    """
    async with connected(dsn) as connection:
        found = _by_feed(await stored(connection, selection))
        total = sum(len(list(_slices(rows))) for group in found for rows in group)
        done, reports = 0, []
        progress(0, total)

        def step() -> None:
            nonlocal done
            done += 1
            progress(done, total)

        for group in found:
            async with snapshot(connection, *(rows.table.sql for rows in group)):
                reports.append(await inspect(connection, group, step))
        return reports


async def inspect(connection: Connection, group: list[Rows], step: Callable[[], None] = lambda: None) -> FeedQuality:
    """Report on one feed; a book has its rows in two tables."""
    counts = Counts()
    for rows in group:
        for start, end in _slices(rows):
            counts.add(await _count(connection, rows, start, end))
            step()
    first, last = min(rows.first for rows in group), max(rows.last for rows in group)
    feed = group[0]
    gaps = await _gaps(connection, feed, first, last)
    completeness = (
        await _candle_completeness(connection, feed)
        if feed.timeframe
        else _share(gaps.missing_seconds, Decimal((last - first) // timedelta(microseconds=1)) / 1_000_000)
    )
    return FeedQuality(
        feed.exchange, feed.symbol, feed.table.channel, feed.timeframe or None, first, last, counts, gaps,
        completeness, score(completeness, counts), await _flags(connection, feed, first, last),
    )  # fmt: skip


def _by_feed(found: list[Rows]) -> list[list[Rows]]:
    groups: dict[str, list[Rows]] = {}
    for rows in found:
        groups.setdefault(rows.name, []).append(rows)
    return list(groups.values())


def _slices(rows: Rows) -> Iterator[tuple[datetime, datetime]]:
    """Cut a span into what is read at once, at midnight UTC."""
    step = CHECKS[rows.table.name].slice
    start = rows.first.replace(hour=0, minute=0, second=0, microsecond=0)
    while start <= rows.last:
        end = start + step
        # the first and the last slice keep to the span, which a selection may have cut
        yield max(start, rows.first), min(end, rows.last + timedelta(microseconds=1))
        start = end


async def _count(connection: Connection, rows: Rows, start: datetime, end: datetime) -> Counts:
    """Count one slice. Its first and last row are compared with their neighbours in the slices beside it."""
    checks = CHECKS[rows.table.name]
    misaligned = off_grid(rows.timeframe) if rows.timeframe else checks.misaligned
    duplicates = f"count(*) - count(distinct ({checks.same}))" if checks.same else "0"
    counted = await connection.fetchrow(
        f"select count(*) as rows, {duplicates} as duplicates, count(*) filter (where {checks.logic}) as logic, "  # noqa: S608 # our own names
        f"count(*) filter (where {misaligned}) as misaligned from {rows.table.sql} e where {rows.where}",
        *rows.bounds(start, end),
    )
    assert counted is not None
    outliers = await _outliers(connection, rows, start, end) if checks.high else 0
    return Counts(**counted, outliers=outliers)


async def _outliers(connection: Connection, rows: Rows, start: datetime, end: datetime) -> int:
    checks, table = CHECKS[rows.table.name], rows.table
    same = "instrument_id = $1 and " + ("timeframe = $2" if rows.timeframe else "$2::text = ''")
    high, low = f"{checks.high}::float8", f"{checks.low}::float8"
    edge = f"from {table.sql} where {same} and {table.time}"
    count = await connection.fetchval(
        f"""
        with n as (
            select {table.time} as at,
                {high} as high, lag({high}) over w as high_before, lead({high}) over w as high_after,
                {low} as low, lag({low}) over w as low_before, lead({low}) over w as low_after
            from {table.sql} e
            where {same} and {checks.high} > 0
                and {table.time} >= coalesce((select max({table.time}) {edge} < $3), $3)
                and {table.time} <= coalesce((select min({table.time}) {edge} >= $4), $4)
            window w as (order by {table.order})
        ), t as materialized (
            select 1 + greatest({OUTLIER_LEAST}, {OUTLIER_STEPS}
                * percentile_cont(0.5) within group (order by abs(high - high_before) / high_before)) as far from n
        )
        select count(*) from n, t
        where at >= $3 and at < $4 and high_before is not null and high_after is not null
            and (high > greatest(high_before, high_after) * far or low * far < least(low_before, low_after))
        """,  # noqa: S608 # our own names
        *rows.bounds(start, end),
    )
    return int(count)


async def _gaps(connection: Connection, feed: Rows, first: datetime, last: datetime) -> Gaps:
    """Look up a feed's gaps; a candle gap's reason begins with its timeframe, that of a lost connection with none."""
    row = await connection.fetchrow(
        """
        select count(*) filter (where state = 'filled') as filled, count(*) filter (where state <> 'filled') as missing,
            coalesce((select sum(extract(epoch from upper(hole) - lower(hole))) from unnest(
                range_agg(tstzrange(from_ts, to_ts) * tstzrange($4, $5)) filter (where state <> 'filled')
            ) hole), 0) as missing_seconds
        from feed_gaps
        where exchange = $1 and symbol in ($2, '*') and split_part(channel, ':', 1) in ($3, '*')
            and ($6 = '' or reason like $6 || ': %' or reason !~ '^[0-9]+[smhdwM]: ')
            and from_ts < $5 and coalesce(to_ts, 'infinity') > greatest($4, from_ts)
        """,
        feed.exchange, feed.symbol, feed.table.channel, first, last, feed.timeframe,
    )  # fmt: skip
    assert row is not None
    return Gaps(**row)


async def _candle_completeness(connection: Connection, feed: Rows) -> Decimal:
    """Compare the closed candles on the grid with those that the span has room for; the open one is neither."""
    sound = f"filter (where not ({off_grid(feed.timeframe)}))"
    row = await connection.fetchrow(
        f"select count(*) {sound} as stored, min(open_ts) {sound} as first, max(open_ts) {sound} as last, "  # noqa: S608 # our own names
        f"count(*) as closed from md.candles e where {feed.where} and e.closed",
        *feed.bounds(feed.first, feed.last + timedelta(microseconds=1)),
    )
    assert row is not None
    if not row["stored"]:
        return Decimal(0 if row["closed"] else 1)  # there is no room for any before the first one has closed
    first, last = (timeframes.number(feed.timeframe, nanoseconds(row[key])) for key in ("first", "last"))
    if first is None or last is None:
        return Decimal(1)
    missing = last - first + 1 - row["stored"]
    return _share(Decimal(max(0, missing)), Decimal(last - first + 1))


async def _flags(connection: Connection, feed: Rows, first: datetime, last: datetime) -> dict[str, int]:
    rows = await connection.fetch(
        "select rule, count(*) as n from quality_flags where exchange = $1 and symbol = $2 and channel = $3 "
        "and ts between $4 and $5 and rule <> 'score' group by rule order by rule",
        feed.exchange, feed.symbol, feed.table.channel, first, last,
    )  # fmt: skip
    return {row["rule"]: row["n"] for row in rows}


def _share(missing: Decimal, whole: Decimal) -> Decimal:
    """Return the share that is not missing, cut to the resolution."""
    if not whole:
        return Decimal(1)
    return max(Decimal(0), 1 - missing / whole).quantize(_RESOLUTION, ROUND_DOWN)
