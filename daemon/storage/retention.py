"""Removes what is older than the configuration keeps, and never what it still waits for.

A day goes as a whole, UTC, when all of it is older than is kept. Where retention waits for the export, a feed's day
goes only while the database has exactly the rows that were exported of it; where it waits for compression, only
chunks that TimescaleDB has compressed go, which on plain PostgreSQL are none.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import asyncpg
import msgspec

from bus.clock import Clock
from bus.events import MARKET_CHANNELS
from daemon.config import Retention
from daemon.storage import digests
from daemon.storage.database import Connection, Progress, connected, moment
from daemon.storage.feeds import TABLES, EventTable, Rows, Selection, stored, within
from migrations.runner import capabilities

WaitFor: TypeAlias = Literal["nothing", "compression", "export"]
_LOCK_TIMEOUT: Final = "10s"
"""A chunk that is read for longer (by a backup, for example) is left for the next time: writers queue behind us."""
_BUSY: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Policy(msgspec.Struct, frozen=True):
    """How many days each channel is kept; a channel that is not named is kept for ever."""

    days: Mapping[str, int]
    wait_for: WaitFor = "nothing"


class Removal(msgspec.Struct, frozen=True):
    """What became of one table: days (or chunks) removed, and those that are due and were kept, with the reason."""

    table: str
    removed: int = 0
    kept: int = 0
    reason: str = ""


def policy_of(settings: Retention) -> Policy:
    """Return the policy that the configuration asks for."""
    days = {channel: days for channel in MARKET_CHANNELS if (days := getattr(settings, channel)) is not None}
    return Policy(days, settings.wait_for)


async def retain(dsn: str, policy: Policy, clock: Clock, progress: Progress) -> list[Removal]:
    """Remove what is due. Progress is in tables. Raises StoreUnavailable."""
    due = [table for table in TABLES if table.channel in policy.days]
    if not due:
        return []
    removals = []
    async with connected(dsn) as connection:
        await connection.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'")
        chunked = "timescaledb" in await capabilities(connection)
        for done, table in enumerate(due):
            progress(done, len(due))
            today = moment(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
            before = today - timedelta(days=policy.days[table.channel])
            remove = _chunks if chunked else _days
            removals.append(await remove(connection, table, before, policy.wait_for))
        progress(len(due), len(due))
    return removals


async def _chunks(connection: Connection, table: EventTable, before: datetime, wait_for: WaitFor) -> Removal:
    """Drop a hypertable's chunks, which costs next to nothing however many rows they have."""
    chunks = await connection.fetch(
        "select chunk_schema, chunk_name, range_start as start, range_end as end, is_compressed "
        "from timescaledb_information.chunks where hypertable_schema = 'md' and hypertable_name = $1 "
        "and range_end <= $2 order by range_start",
        table.name, before,
    )  # fmt: skip
    removed, reasons = 0, []
    for chunk in chunks:
        try:
            reason = await _drop(connection, table, chunk, wait_for)
        except _BUSY:
            reason = "in use"
        if reason:
            reasons.append(reason)
        else:
            removed += 1
    return Removal(table.name, removed, len(reasons), ", ".join(sorted(set(reasons))))


async def _drop(connection: Connection, table: EventTable, chunk: "asyncpg.Record", wait_for: WaitFor) -> str:
    """Drop one chunk and return an empty text, or the reason for keeping it."""
    if wait_for == "compression" and not chunk["is_compressed"]:
        return "not compressed yet"
    async with connection.transaction():
        # whoever has a late row for this chunk waits until it is known to be exported, and gone
        await connection.execute(f'lock table only "{chunk["chunk_schema"]}"."{chunk["chunk_name"]}" in share mode')
        span = (chunk["start"], chunk["end"])
        if wait_for == "export" and await digests.not_exported(connection, table, *span):
            return "not exported, or changed since"
        await connection.execute("select drop_chunks($1::text::regclass, $3::timestamptz, $2::timestamptz)",
                                 table.sql, *span)  # fmt: skip
    return ""


async def _days(connection: Connection, table: EventTable, before: datetime, wait_for: WaitFor) -> Removal:
    """Delete a plain table's rows, a feed's day at a time, each in a transaction of its own."""
    removed, reasons = 0, []
    for feed in await stored(connection, Selection(channel=table.channel)):
        if feed.table != table or feed.first >= before:
            continue
        day = feed.first.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < before:
            try:
                reason = await _delete(connection, feed, day, wait_for)
            except _BUSY:
                reason = "in use"
            if reason:
                reasons.append(reason)
            else:
                removed += 1
            day = await _next_day(connection, feed, day, before)
    return Removal(table.name, removed, len(reasons), ", ".join(sorted(set(reasons))))


async def _next_day(connection: Connection, feed: Rows, day: datetime, before: datetime) -> datetime:
    """Return the next day that has rows of the feed."""
    try:
        rest = await within(connection, feed, day + timedelta(days=1), before)
    except LookupError:
        return before
    return rest.first.replace(hour=0, minute=0, second=0, microsecond=0)


async def _delete(connection: Connection, feed: Rows, day: datetime, wait_for: WaitFor) -> str:
    """Delete one day and return an empty text, or the reason for keeping it."""
    if wait_for == "compression":
        return "this server compresses nothing"
    span = (day, day + timedelta(days=1))
    # one snapshot for the comparison and the deletion: a row that comes in between is not seen, and stays
    async with connection.transaction(isolation="repeatable_read"):
        if wait_for == "export" and not await digests.is_exported(connection, feed, *span):
            return "not exported, or changed since"
        await connection.execute(
            f"delete from {feed.table.sql} e where {feed.where}",  # noqa: S608 # our own names
            *feed.bounds(*span),
        )
    return ""
