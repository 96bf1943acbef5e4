"""Export as gzipped CSV: EXCHANGE/SYMBOL/TIMEFRAME/YEAR.csv.gz with YEAR.metadata.json beside it.

Times are RFC 3339 in UTC to the microsecond, numbers the digits that the exchange sent, what is unknown is empty.
"""

import asyncio
import gzip
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from daemon.storage.database import Connection, copy_out
from daemon.storage.feeds import Rows
from daemon.storage.formats import Column, Format, Span

_PART: Final = 256 * 1024
_LEVEL: Final = 6


class CsvWriter:
    """Rows to gzipped CSV. PostgreSQL itself makes the lines."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._columns = columns
        # without name and time, the same rows give the same file
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0)
        self._waiting = bytearray(",".join(column.name for column in columns).encode() + b"\n")

    async def add_stored(self, connection: Connection, rows: Rows, span: Span) -> None:
        """Write the database's rows of a span."""
        chosen = ", ".join(_expression(column) for column in self._columns)
        query = f"select {chosen} from {rows.table.sql} e where {rows.where} order by {rows.table.order}"  # noqa: S608 # our own names
        await copy_out(connection, query, *rows.bounds(span.start, span.end), take=self._take, format="csv")

    async def add_kept(self, file: Path, span: Span) -> None:
        """Write the former file's lines of a span; their first column is the time, and sorts as text."""
        await asyncio.to_thread(self._copy, file, _text(span.start), _text(span.end))

    def close(self) -> None:
        """Compress what waits, and end the stream."""
        self._flush()
        self._gzip.close()

    async def _take(self, part: bytes) -> None:
        self._waiting += part
        if len(self._waiting) >= _PART:
            await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        self._gzip.write(self._waiting)
        self._waiting.clear()

    def _copy(self, file: Path, start: bytes, end: bytes) -> None:
        self._flush()
        with gzip.open(file, "rb") as former:
            next(former)
            self._gzip.writelines(line for line in former if start <= line < end)


def _expression(column: Column) -> str:
    if column.type != "timestamp with time zone":
        return f"e.{column.name}"
    return f"to_char(e.{column.name} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


def _text(when: datetime) -> bytes:
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06d}Z".encode()


CSV: Final = Format(".csv.gz", ".metadata.json", lambda _: True, CsvWriter)
