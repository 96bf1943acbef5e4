"""What a download is asked for: of which exchange, which feeds, from when to when."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from bus.clock import MICROSECOND, SECOND
from bus.errors import UsageError
from daemon.config.model import Name, Symbol, Timeframe
from daemon.control.command import Arguments
from daemon.exchanges.base import FeedKey

_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LATEST: Final = 2**63
_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])(?: ago)?")


def moment(text: str, now: int) -> int:
    """Return the time (ns) that a text means at the time `now`: ISO 8601 (UTC if it does not say), or `30d ago`, `30d`.

    Raises ValueError with a sentence.
    """
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]] * SECOND
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a time like 2024-08-08, 2024-08-08T12:00 (UTC), or 30d for thirty days ago") from None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    ns = int(when.replace(microsecond=0).timestamp()) * SECOND + when.microsecond * MICROSECOND
    if not 0 <= ns < _LATEST:
        raise ValueError("write a time from 1970 to 2262")
    return ns


def _moment(text: str) -> str:
    moment(text, 0)
    return text


Moment = Annotated[str, AfterValidator(_moment)]


class Download(Arguments):
    """Arguments of `data download`, `backfill.start` and the tasks that they begin."""

    exchange: Name = Field(description="the exchange: a name that `marketd exchange list` shows")
    symbols: tuple[Symbol, ...] = Field(min_length=1, max_length=1_000, description="unified symbols, like BTC/USDT")
    channel: Literal["trade", "candle"] = Field(default="candle", description="trade or candle")
    timeframe: Timeframe = Field(default="1m", description="length of the candles")
    since: Moment = Field(description="from this time on: 2024-08-08, 2024-08-08T12:00 (UTC), or 30d ago")
    until: Moment | None = Field(default=None, description="before this time; left out: when it was asked for")
    jobs: int = Field(default=4, ge=1, le=32, description="parts that are asked for at a time")

    def feeds(self) -> list[FeedKey]:
        """Return the feeds that are meant."""
        timeframe = self.timeframe if self.channel == "candle" else ""
        return [FeedKey(symbol, self.channel, timeframe) for symbol in dict.fromkeys(self.symbols)]

    def span(self, asked: int) -> tuple[int, int]:
        """Return beginning and end (ns, exclusive) as meant when it was asked for. Raises UsageError."""
        start = moment(self.since, asked)
        end = asked if self.until is None else min(asked, moment(self.until, asked))
        if not 0 <= start < end:
            raise UsageError("since has to lie before until, and in the past")
        return start, end
