"""How reports on the stored data look on a terminal and as JSON."""

from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from daemon.storage.gaps import StoredGap
from daemon.storage.optimize import Optimized
from daemon.storage.quality import FORMULA, FeedQuality
from daemon.storage.retention import Removal
from daemon.storage.stats import Stats

_encoder = msgspec.json.Encoder(decimal_format="number")
_WIDEST = 1_000
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_json(document: Any) -> None:
    """Print one JSON document: numbers as numbers, times as RFC 3339, UTC."""
    print(msgspec.json.format(_encoder.encode(document)).decode())  # noqa: T201 # this command's output


def print_quality(reports: list[FeedQuality]) -> None:
    """Print a line per feed, the worst first, and the formula of the score."""
    table = _table("exchange", "symbol", "channel", right=(
        "rows", "from", "to", "complete", "gaps", "missing s", "double", "logic", "misaligned", "outliers", "score",
    ))  # fmt: skip
    for report in sorted(reports, key=lambda report: report.score):
        counts = report.counts
        table.add_row(
            report.exchange, report.symbol, _feed(report.channel, report.timeframe), str(counts.rows),
            _time(report.first), _time(report.last), str(report.completeness), str(report.gaps.missing),
            f"{report.gaps.missing_seconds:.0f}", str(counts.duplicates), str(counts.logic), str(counts.misaligned),
            str(counts.outliers), str(report.score),
        )  # fmt: skip
    _show(table, "nothing is stored of that")
    if reports:
        print(f"score = {FORMULA}")  # noqa: T201


def print_stats(stats: Stats) -> None:
    """Print a line per feed, then a line per table."""
    feeds = _table("exchange", "symbol", "channel", right=("rows", "from", "to", "rows/s", "last hour"))
    for feed in stats.feeds:
        feeds.add_row(
            feed.exchange, feed.symbol, _feed(feed.channel, feed.timeframe), str(feed.rows), _time(feed.first),
            _time(feed.last), str(feed.per_second), str(feed.last_hour),
        )  # fmt: skip
    _show(feeds, "nothing is stored of that")
    tables = _table("table", right=("size", "chunks", "compressed", "ratio"))
    for entry in stats.tables:
        tables.add_row(
            entry.table, size(entry.bytes), _or_dash(entry.chunks), _or_dash(entry.compressed_chunks),
            _or_dash(entry.ratio),
        )  # fmt: skip
    _show(tables, "")


def print_gaps(gaps: list[StoredGap]) -> None:
    """Print a line per gap, oldest first."""
    table = _table("exchange", "symbol", "channel", "from", "to", "ids", "state", "reason", "id")
    for gap in gaps:
        ids = f"{gap.from_id}…{gap.to_id}" if gap.from_id is not None else "-"
        table.add_row(
            gap.exchange, gap.symbol, gap.channel, _time(gap.from_ts), _time(gap.to_ts), ids, gap.state, gap.reason,
            gap.id,
        )  # fmt: skip
    _show(table, "nothing is missing")


def print_removals(removals: list[Removal]) -> None:
    """Print a line per table that retention concerns."""
    for removal in removals:
        kept = f", {removal.kept} kept: {removal.reason}" if removal.kept else ""
        print(f"{removal.table}: {removal.removed} removed{kept}")  # noqa: T201


def print_optimized(done: Optimized) -> None:
    """Print every table's size before and after, and what could not be done."""
    table = _table("table", right=("before", "after", "compressed"))
    for before, after in zip(done.before, done.after, strict=True):
        share = "-" if after.chunks is None else f"{after.compressed_chunks} of {after.chunks}"
        table.add_row(after.table, size(before.bytes), size(after.bytes), share)
    _show(table, "")
    for failure in done.failed:
        print(f"not done: {failure}")  # noqa: T201


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004 # what a KiB is
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def _table(*left: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(*left, box=None)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _show(table: Table, nothing: str) -> None:
    if table.row_count:
        wanted = Console(width=_WIDEST).measure(table).maximum
        Console(width=max(wanted, Console().width), soft_wrap=True).print(table)  # wrapped rather than cut off
    else:
        print(nothing)  # noqa: T201


def _feed(channel: str, timeframe: str | None) -> str:
    return f"{channel} {timeframe}" if timeframe else channel


def _time(when: datetime | None) -> str:
    return "-" if when is None else f"{when:%Y-%m-%d %H:%M:%S}"


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
