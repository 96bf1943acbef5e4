"""Export as Parquet: EXCHANGE/SYMBOL/CHANNEL/DAY.parquet, candles and other sparse feeds by year.

Prices and amounts are decimal128(38, 18), never floating point: a value with more digits is refused by name, and CSV
takes it. https://parquet.apache.org/docs/file-format/types/logicaltypes/
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from bus.errors import UsageError
from daemon.storage.database import STALL, Connection
from daemon.storage.feeds import Rows
from daemon.storage.formats import Column, Format, Span, Unfit

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    raise UsageError("Parquet needs pyarrow: install the extra 'parquet' (pip install '.[parquet]')") from error

_DAILY: Final = frozenset({"trades", "tickers", "book_snapshots", "book_deltas", "mark_prices"})
_BATCH: Final = 20_000
_BOOK_BATCH: Final = 1_000
"""Rows fetched at once, which are a row group each: a row of a book has hundreds of levels."""
_NUMBER: Final = pa.decimal128(38, 18)
_TYPES: Final = {
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "numeric": _NUMBER,
    "numeric[]": pa.list_(pa.struct([("price", _NUMBER), ("amount", _NUMBER)])),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}


class ParquetWriter:
    """Rows to Parquet, batch by batch."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    async def add_stored(self, connection: Connection, rows: Rows, span: Span) -> None:
        """Write the database's rows of a span."""
        chosen = ", ".join(_expression(column) for column in self._columns)
        size = _BOOK_BATCH if rows.table.channel == "book" else _BATCH
        cursor = await connection.cursor(
            f"select {chosen} from {rows.table.sql} e where {rows.where} order by {rows.table.order}",  # noqa: S608 # our own names
            *rows.bounds(span.start, span.end),
        )
        while batch := await cursor.fetch(size, timeout=STALL):
            await asyncio.to_thread(self._write, rows.name, batch)

    async def add_kept(self, file: Path, span: Span) -> None:
        """Write the former file's rows of a span."""
        await asyncio.to_thread(self._copy, file, span)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def _write(self, feed: str, batch: list[Any]) -> None:
        arrays = [
            _array(feed, column, values) for column, values in zip(self._columns, zip(*batch, strict=True), strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def _copy(self, file: Path, span: Span) -> None:
        time = self._columns[0].name
        with pq.ParquetFile(file) as former:
            for batch in former.iter_batches(batch_size=_BOOK_BATCH):
                inside = pc.and_(pc.greater_equal(batch[time], span.start), pc.less(batch[time], span.end))
                kept = batch.filter(inside)
                if kept.num_rows:
                    self._writer.write_batch(kept)


def _expression(column: Column) -> str:
    """Numbers as text, which Arrow turns into decimals several times faster than Python does."""
    return f"e.{column.name}::text" if column.type == "numeric" else f"e.{column.name}"


def _array(feed: str, column: Column, values: tuple[Any, ...]) -> Any:
    try:
        if column.type == "numeric":
            return pa.array(values, pa.string()).cast(_NUMBER)
        if column.type == "numeric[]":
            values = tuple([{"price": p, "amount": a} for p, a in side] for side in values)
        return pa.array(values, _TYPES[column.type])
    except pa.ArrowInvalid as error:
        raise Unfit(
            f"{feed}: a value of {column.name} has more digits than Parquet's decimal(38, 18) holds ({error}); "
            "export it as CSV"
        ) from error


PARQUET: Final = Format(".parquet", ".parquet.metadata.json", lambda rows: rows.table.name not in _DAILY, ParquetWriter)
