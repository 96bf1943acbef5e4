"""What an export format is: how the rows of one part get into one file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from bus.errors import Permanent
from daemon.storage.database import Connection
from daemon.storage.feeds import Rows


class Unfit(Permanent):
    """Rows that a format, or a file, cannot hold. The text says which, and what to do."""


@dataclass(frozen=True)
class Column:
    """A column of an exported table: its name and its PostgreSQL type."""

    name: str
    type: str


@dataclass(frozen=True)
class Span:
    """From a time to before another."""

    start: datetime
    end: datetime


class Writer(Protocol):
    """Writes one file, in the order of the calls."""

    async def add_stored(self, connection: Connection, rows: Rows, span: Span) -> None:
        """Write the database's rows of a span."""
        ...

    async def add_kept(self, file: Path, span: Span) -> None:
        """Write the rows of a span that the file's former version has and the database no longer."""
        ...

    def close(self) -> None:
        """Write what a file ends with."""
        ...


@dataclass(frozen=True)
class Format:
    """One way to write files: the names' endings, how long a time one file holds, and its writer."""

    ending: str
    metadata: str
    yearly: Callable[[Rows], bool]
    """Whether a file holds a year of these rows, or a day."""
    writer: Callable[[BinaryIO, Sequence[Column]], Writer]


async def columns(connection: Connection, rows: Rows) -> list[Column]:
    """Return what is exported of a table: the time first, then the event's own fields, then how it came."""
    found = await connection.fetch(
        "select attname as name, atttypid::regtype::text as type from pg_attribute where attrelid = $1::text::regclass "
        "and attnum > 0 and not attisdropped order by attnum",
        rows.table.sql,
    )
    by_name = {row["name"]: Column(row["name"], row["type"]) for row in found}
    last = [name for name in ("ts", "recv_ns", "source") if name != rows.table.time]
    own = [name for name in by_name if name not in {"instrument_id", "timeframe", rows.table.time, *last}]
    return [by_name[name] for name in (rows.table.time, *own, *last)]
