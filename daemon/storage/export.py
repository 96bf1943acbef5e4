"""Copies of the stored data in files, each with its checksum and quality beside it.

A file holds one feed's day or year. It is written whole or not at all; one that holds what the database has is left
alone, so that an export which was cut off goes on where it was, and a repeated one writes what has changed. Days that
retention has removed from the database since stay in the file.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

import msgspec

from bus.clock import Clock
from daemon.storage import digests, files
from daemon.storage.database import Connection, Progress, connected, moment, snapshot
from daemon.storage.digests import Day
from daemon.storage.feeds import Rows, Selection, stored, within
from daemon.storage.formats import Column, Format, Span, Unfit, columns
from daemon.storage.quality import FeedQuality, inspect

FormatName: TypeAlias = Literal["csv", "parquet"]
_VERSION: Final = 1
_DAY: Final = timedelta(days=1)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Metadata(msgspec.Struct, frozen=True):
    """What stands beside a file. `days` says of each UTC day in it how many rows, and the digest of them."""

    exchange: str
    symbol: str
    channel: str
    timeframe: str | None
    table: str
    file: str
    bytes: int
    sha256: str
    rows: int
    columns: list[str]
    exported_at: datetime
    days: dict[date, Day]
    quality: FeedQuality
    version: int = _VERSION


@dataclass
class Exported:
    """What an export has done."""

    written: int = 0
    unchanged: int = 0
    rows: int = 0
    """Rows in the files written."""


@dataclass(frozen=True)
class _Part:
    """One file: the rows in it and the whole of its day or year."""

    rows: Rows
    span: Span
    file: Path
    metadata: Path

    @property
    def pending(self) -> Path:
        """Where the metadata waits until the file that it describes is in its place."""
        return self.metadata.with_name(f".{self.metadata.name}.next")


async def export(
    dsn: str, selection: Selection, folder: Path, name: FormatName, clock: Clock, progress: Progress
) -> Exported:
    """Copy a selection into files below `folder`; files that a time of it touches are written whole.

    Progress is in files. Raises StoreUnavailable; UsageError where files cannot be written or a format's library is
    missing; Unfit for rows that the format cannot hold.
    """
    form = _format(name)
    done = Exported()
    async with connected(dsn) as connection:
        parts = [part for rows in await stored(connection, selection) for part in _parts(rows, folder, form)]
        for number, part in enumerate(parts):
            progress(number, len(parts))
            await _export(connection, part, form, clock, done)
        progress(len(parts), len(parts))
    return done


def _format(name: FormatName) -> Format:
    if name == "csv":
        from daemon.storage.csvgz import CSV  # noqa: PLC0415 # as below

        return CSV
    from daemon.storage.parquet import PARQUET  # noqa: PLC0415 # its library is an extra

    return PARQUET


def _parts(rows: Rows, folder: Path, form: Format) -> Iterator[_Part]:
    yearly = form.yearly(rows)
    base = folder / rows.exchange / files.folder_of(rows.symbol) / _kind(rows)
    start = rows.first.replace(hour=0, minute=0, second=0, microsecond=0)
    if yearly:
        start = start.replace(month=1, day=1)
    while start <= rows.last:
        end = start.replace(year=start.year + 1) if yearly else start + _DAY
        name = f"{start:%Y}" if yearly else f"{start:%Y-%m-%d}"
        yield _Part(rows, Span(start, end), base / f"{name}{form.ending}", base / f"{name}{form.metadata}")
        start = end


def _kind(rows: Rows) -> str:
    """The folder of a feed within its symbol: the timeframe, or the channel; a book's two tables have one each."""
    if rows.table.channel == "book":
        return rows.table.name.removesuffix("s")
    return rows.timeframe or rows.table.channel


async def _export(connection: Connection, part: _Part, form: Format, clock: Clock, done: Exported) -> None:
    async with snapshot(connection, part.rows.table.sql):
        days = await digests.of_feed(connection, part.rows, part.span.start, part.span.end)
        if not days:
            return
        former = await _former(part)
        if former is not None and all(former.days.get(day) == digest for day, digest in days.items()):
            done.unchanged += 1
        else:
            metadata = await _write(connection, part, form, days, former, clock)
            done.written += 1
            done.rows += metadata.rows
    await digests.note_exported(connection, part.rows, days, str(part.file.absolute()), moment(clock.now()))


async def _former(part: _Part) -> Metadata | None:
    """Return what an earlier export wrote, None where it has not, or where the file is not what was written.

    A file and its metadata cannot change at one moment: after a cut between the two, `pending` describes the file.
    """
    checksum = await files.sha256(part.file)
    for path in (part.metadata, part.pending):
        try:
            metadata = msgspec.json.decode(path.read_bytes(), type=Metadata)
        except (FileNotFoundError, msgspec.MsgspecError):
            continue
        if metadata.version == _VERSION and metadata.sha256 == checksum:
            if path == part.pending:
                part.pending.replace(part.metadata)
            return metadata
    return None


async def _write(
    connection: Connection, part: _Part, form: Format, days: dict[date, Day], former: Metadata | None, clock: Clock
) -> Metadata:
    kept = {day: digest for day, digest in (former.days if former else {}).items() if day not in days}
    chosen = await columns(connection, part.rows)
    await _refuse_loss(connection, part, days, kept, former, chosen)
    async with files.whole_file(part.file) as file:
        with closing(form.writer(file, chosen)) as writer:
            for is_kept, span in _runs(set(days), set(kept)):
                if is_kept:
                    await writer.add_kept(part.file, span)
                else:
                    await writer.add_stored(connection, part.rows, span)
        metadata = await _describe(connection, part, file, chosen, kept | days, clock)
        await files.replace(part.pending, msgspec.json.format(_encoder.encode(metadata)) + b"\n")
    part.pending.replace(part.metadata)
    return metadata


async def _describe(
    connection: Connection, part: _Part, file: BinaryIO, chosen: list[Column], days: dict[date, Day], clock: Clock
) -> Metadata:
    size, checksum = await files.measure(file)
    rows = await within(connection, part.rows, part.span.start, part.span.end)
    return Metadata(
        rows.exchange, rows.symbol, rows.table.channel, rows.timeframe or None, rows.table.name, part.file.name, size,
        checksum, sum(day.rows for day in days.values()), [column.name for column in chosen], moment(clock.now()),
        dict(sorted(days.items())), await inspect(connection, [rows]),
    )  # fmt: skip


async def _refuse_loss(
    connection: Connection, part: _Part, days: dict[date, Day], kept: dict[date, Day], former: Metadata | None,
    chosen: list[Column],
) -> None:  # fmt: skip
    """Never overwrite the only copy of something. Raises Unfit."""
    if kept and former is not None and former.columns != [column.name for column in chosen]:
        reason = "in other columns than today's"
    elif (
        former is None
        and part.file.exists()
        and await digests.only_in_file(connection, part.rows, days, str(part.file.absolute()))
    ):
        reason = "and is not what its metadata describes"
    else:
        return
    raise Unfit(
        f"{part.file} holds days that the database no longer has, {reason}: move it away, or export into another folder"
    )


def _runs(days: set[date], kept: set[date]) -> Iterator[tuple[bool, Span]]:
    """Group a file's days, in order, into spans of the same origin."""
    for is_kept, run in groupby(sorted(days | kept), key=lambda day: day in kept):
        group = list(run)
        yield is_kept, Span(_midnight(group[0]), _midnight(group[-1]) + _DAY)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
