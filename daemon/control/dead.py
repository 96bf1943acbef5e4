"""Commands about dead letters: dead.list and dead.replay."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from pydantic import Field, JsonValue, model_validator

from bus.errors import Poison, StoreUnavailable, UsageError, said
from bus.events import Book, Event, Gap, MarketEvent, Quality, event_type
from bus.frames import decode_events
from bus.interface import EventBus
from daemon.control.command import Arguments, Command, Identifier

SHOWN: Final = 200
"""Characters of a letter's content that are listed."""
FLUSH_DEADLINE: Final = 5.0

_event: Final[msgspec.msgpack.Decoder[Event]] = msgspec.msgpack.Decoder(Event)


class Listed(Arguments):
    """Which letters to list; what is left out does not matter."""

    handler: str | None = Field(default=None, description="that this handler could not digest; parse: a translator")
    limit: int = Field(default=100, ge=1, le=1_000, description="the newest so many")


class Replay(Arguments):
    """Which letters to bring back to the bus: one, or those of a handler."""

    id: Identifier | None = Field(default=None, min_length=1, description="the letter's id, from dead.list")
    handler: str | None = Field(default=None, min_length=1, description="all that this handler could not digest")
    limit: int = Field(default=1_000, ge=1, le=10_000, description="the oldest so many at once")

    @model_validator(mode="after")
    def _one_of_them(self) -> "Replay":
        if (self.id is None) == (self.handler is None):
            raise ValueError("give either the id of one letter or a handler")
        return self


class Letters:
    """The table `dead_letters`. All raise StoreUnavailable."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def newest(self, handler: str | None, limit: int) -> "list[asyncpg.Record]":
        """Return the newest letters, of a handler or of all."""
        return await self._fetch(
            "select * from dead_letters where $1::text is null or handler = $1 order by ts desc, id limit $2",
            handler, limit,
        )  # fmt: skip

    async def chosen(self, asked: Replay) -> "list[asyncpg.Record]":
        """Return the letters to bring back, oldest first."""
        return await self._fetch(
            "select * from dead_letters where id = $1 or handler = $2 order by ts, id limit $3",
            asked.id, asked.handler, asked.limit,
        )  # fmt: skip

    async def forget(self, ids: Sequence[str]) -> None:
        """Remove letters that stand on the bus again."""
        await self._fetch("delete from dead_letters where id = any($1)", ids)

    async def _fetch(self, query: str, *arguments: object) -> "list[asyncpg.Record]":
        try:
            return await self._pool.fetch(query, *arguments)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(f"cannot read the dead letters: {said(error)}") from error


def dead_list(letters: Letters) -> Command[Listed]:
    """Make `dead.list`: what nobody could digest and why, newest first."""

    async def run(arguments: Listed) -> JsonValue:
        return [_shown(row) for row in await letters.newest(arguments.handler, arguments.limit)]

    return Command("dead.list", Listed, run)


def dead_replay(letters: Letters, bus: EventBus) -> Command[Replay]:
    """Make `dead.replay`: letters go to their streams again, for whoever has been mended since.

    Every handler sees them again, which is harmless to all. What still cannot be digested comes back as a new letter.
    """

    async def run(arguments: Replay) -> JsonValue:
        replayed: list[str] = []
        refused: list[JsonValue] = []
        chosen = await letters.chosen(arguments)
        if arguments.id is not None and not chosen:
            raise UsageError(f"there is no letter {arguments.id!r}; dead.list shows those there are")
        for row in chosen:
            try:
                events = revived(row["handler"], row["payload"])
            except Poison as error:
                refused.append({"id": row["id"], "reason": str(error)})
                continue
            await bus.publish(events)
            replayed.append(row["id"])
        if replayed:
            await bus.flush(FLUSH_DEADLINE)
            await letters.forget(replayed)
        return {"replayed": len(replayed), "refused": refused}

    return Command("dead.replay", Replay, run)


def commands(pool: "asyncpg.Pool[Any]", bus: EventBus) -> Iterable[Command[Listed] | Command[Replay]]:
    """Return all commands about dead letters."""
    letters = Letters(pool)
    return dead_list(letters), dead_replay(letters, bus)


def revived(handler: str, payload: bytes) -> list[Event]:
    """Return the events of a letter as they go to the bus again. Raises Poison for what must not or cannot.

    Market events come as `backfill`: they are late, and nobody is to trade on them.
    """
    if handler == "parse":
        raise Poison("an exchange's frame comes once: what it held shows as a gap, which gap.retry has healed")
    try:
        events = _decode(payload)
    except msgspec.DecodeError as error:
        raise Poison(f"this marketd cannot read it either: {error}") from error
    for event in events:
        if isinstance(event, Book) or not isinstance(event, MarketEvent | Gap | Quality):
            raise Poison(f"a {event_type(event)} event that comes late would mislead those who follow it")
    return [_late(event) for event in events]


def _decode(payload: bytes) -> list[Event]:
    """Decode one event, or a frame of them."""
    try:
        return [_event.decode(payload)]
    except msgspec.DecodeError:
        return decode_events(payload)


def _late(event: Event) -> Event:
    return msgspec.structs.replace(event, source="backfill") if isinstance(event, MarketEvent) else event


def _shown(row: "asyncpg.Record") -> JsonValue:
    moment: datetime = row["ts"]
    payload: bytes = row["payload"]
    return {
        "id": row["id"],
        "ts": moment.isoformat(),
        "handler": row["handler"],
        "origin": row["origin"],
        "reason": row["reason"],
        "bytes": len(payload),
        "content": payload.decode("utf-8", "replace")[:SHOWN],
    }
