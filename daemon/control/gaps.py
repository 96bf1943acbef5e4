"""Commands about gaps: gaps.list and gap.retry."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import asyncpg
from pydantic import Field, JsonValue

from bus.clock import Clock
from bus.errors import UsageError
from bus.events import Event
from daemon.config.model import Channel
from daemon.control.command import Arguments, Command, Identifier
from daemon.healing.ledger import COLUMNS, Ledger

State = Literal["open", "filling", "filled", "unfillable"]


class Listed(Arguments):
    """Which gaps to list; what is left out does not matter."""

    exchange: str | None = Field(default=None, description="of this exchange")
    symbol: str | None = Field(default=None, description="of this symbol")
    channel: Channel | None = Field(default=None, description="of this channel")
    state: State | None = Field(default=None, description="open, filling, filled or unfillable")
    limit: int = Field(default=100, ge=1, le=10_000, description="the newest so many")


class Retry(Arguments):
    """Which gap to try again."""

    id: Identifier = Field(min_length=1, max_length=100, description="the gap's id, from gaps.list")


def gaps_list(pool: "asyncpg.Pool[Any]") -> Command[Listed]:
    """Make `gaps.list`: what is missing, was healed, or cannot be had and why; newest first."""

    async def run(arguments: Listed) -> JsonValue:
        rows = await pool.fetch(
            f"select {COLUMNS} from feed_gaps where ($1::text is null or exchange = $1) "  # noqa: S608 # our own names
            "and ($2::text is null or symbol = $2) and ($3::text is null or channel = $3) "
            "and ($4::text is null or state = $4) order by detected_at desc, id limit $5",
            arguments.exchange, arguments.symbol, arguments.channel, arguments.state, arguments.limit,
        )  # fmt: skip
        return [{key: _plain(value) for key, value in row.items()} for row in rows]

    return Command("gaps.list", Listed, run)


def gap_retry(ledger: Ledger, publish: Callable[[Sequence[Event]], Awaitable[None]]) -> Command[Retry]:
    """Make `gap.retry`: has a gap healed once more, whatever was said of it before."""

    async def run(arguments: Retry) -> JsonValue:
        gap = await ledger.find(arguments.id)
        if gap is None:
            raise UsageError(f"there is no gap {arguments.id!r}; gaps.list shows those there are")
        await publish([gap])
        return {"id": gap.id, "state": "open"}

    return Command("gap.retry", Retry, run)


def commands(
    pool: "asyncpg.Pool[Any]", publish: Callable[[Sequence[Event]], Awaitable[None]], clock: Clock
) -> Iterable[Command[Listed] | Command[Retry]]:
    """Return all commands about gaps."""
    return gaps_list(pool), gap_retry(Ledger(pool, clock), publish)


def _plain(value: object) -> JsonValue:
    return value.isoformat() if isinstance(value, datetime) else None if value is None else str(value)
