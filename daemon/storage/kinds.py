"""The long operations on the store as background tasks: their arguments, and what they return."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, Field, JsonValue

from bus.clock import Clock
from daemon.config.model import Channel, Name, Symbol, Timeframe
from daemon.control.command import Arguments
from daemon.history.arguments import Moment, moment
from daemon.storage.backup import backup
from daemon.storage.export import export
from daemon.storage.feeds import Selection
from daemon.storage.optimize import optimize
from daemon.storage.quality import FORMULA, validate
from daemon.storage.retention import Policy, retain
from daemon.tasks.kind import Kind
from daemon.tasks.progress import Progress

_encoder = msgspec.json.Encoder(decimal_format="number")


def _below(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("name a path below data_dir, like exports or backups/monday")
    return path


Below = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_below)]
"""A path below `data_dir`: a command must not make the daemon write anywhere else."""


class Validate(Arguments):
    """Arguments of the task `validate`; what is left out is no restriction."""

    exchange: Name | None = Field(default=None, description="only this exchange")
    symbol: Symbol | None = Field(default=None, description="only this symbol, like BTC/USDT")
    channel: Channel | None = Field(default=None, description="only this channel")
    timeframe: Timeframe | None = Field(default=None, description="only candles of this length")
    since: Moment | None = Field(default=None, description="from this time on: 2024-08-08, or 30d ago")
    until: Moment | None = Field(default=None, description="before this time")

    def selection(self, asked: int) -> Selection:
        """Return what was meant when it was asked for (ns)."""
        since, until = (None if text is None else moment(text, asked) for text in (self.since, self.until))
        return Selection(self.exchange, self.symbol, self.channel, self.timeframe, since, until)


class Export(Validate):
    """Arguments of the task `export`."""

    output: Below = Field(default="exports", description="folder below data_dir for the files")
    format: Literal["csv", "parquet"] = Field(default="csv", description="csv (gzipped, by year) or parquet")


class Backup(Arguments):
    """Arguments of the task `backup`."""

    file: Below = Field(description="file below data_dir")


class Storekeeping:
    """The operations of one daemon's store."""

    def __init__(self, dsn: str, data_dir: Path, policy: Callable[[], Policy], clock: Clock) -> None:
        self._dsn = dsn
        self._data_dir = data_dir
        self._policy = policy
        self._clock = clock

    async def validate(self, args: Validate, progress: Progress) -> JsonValue:
        """Report on the quality of every feed."""
        feeds = await validate(self._dsn, args.selection(progress.asked), progress.at)
        return {"score": FORMULA, "feeds": _plain(feeds)}

    async def export(self, args: Export, progress: Progress) -> JsonValue:
        """Copy what is stored into files."""
        folder = self._data_dir / args.output
        return _plain(
            await export(
                self._dsn, args.selection(progress.asked), folder, args.format, self._clock, progress.at
            )
        )  # fmt: skip

    async def optimize(self, _: Arguments, progress: Progress) -> JsonValue:
        """Remove what is too old, compress, refresh aggregates, vacuum."""
        removals = await retain(self._dsn, self._policy(), self._clock, progress.at)
        return {"retention": _plain(removals), "tables": _plain(await optimize(self._dsn, progress.at))}

    async def backup(self, args: Backup, progress: Progress) -> JsonValue:
        """Copy every table into one file."""
        manifest = await backup(self._dsn, self._data_dir / args.file, self._clock, progress.at)
        return {table.name: table.rows for table in manifest.tables}

    def kinds(self) -> list[Kind[Any]]:
        """Return the kinds of task that these are."""
        return [
            Kind("validate", Validate, self.validate),
            Kind("export", Export, self.export),
            Kind("optimize", Arguments, self.optimize),
            Kind("backup", Backup, self.backup),
        ]


def _plain(value: Any) -> JsonValue:
    """Return what JSON can hold; numbers stay numbers."""
    plain: JsonValue = msgspec.json.decode(_encoder.encode(value))
    return plain
