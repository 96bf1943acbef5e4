"""Writes every command, its sender and outcome into `command_log`, without making commands wait for the database."""

import asyncio
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from bus.clock import SECOND, Clock
from daemon.redact import redacted
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

WAITING: Final = 1_000
"""Records that wait for the database at most; beyond that they go to the log alone."""
MAX_RESULT: Final = 4_096
"""Characters of a result that are kept."""
_DEADLINE: Final = 10.0
_INSERT: Final = """
insert into command_log (id, ts, client, command, args, status, result, error, finished_at)
values ($1, $2, $3, $4, $5::jsonb, $6, $7::jsonb, $8::jsonb, $9)
on conflict do nothing
"""
_END: Final = """
update command_log set status = $4, result = $5::jsonb, error = $6::jsonb, finished_at = $7
where id = $1 and client = $2 and command = $3 and status = 'accepted'
"""


class Record(NamedTuple):
    """One command and what became of it; times are ns UTC, result and error JSON as the sender got it."""

    id: str
    ts: int
    client: str
    command: str
    args: Mapping[str, Any]
    status: str
    result: str | None
    error: str | None
    finished_at: int


class Ended(NamedTuple):
    """What became of a command that was accepted, in the words of `Record`."""

    id: str
    client: str
    command: str
    status: str
    result: str | None
    error: str | None
    finished_at: int


class AuditLog:
    """Takes records at once and writes them when the database is there; `run` is a supervised role."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, rng: random.Random) -> None:
        self._pool = pool
        self._clock = clock
        self._backoff = Backoff(rng)
        self._queue: asyncio.Queue[Record | Ended] = asyncio.Queue(WAITING)
        self._current: Record | Ended | None = None

    def record(self, record: Record | Ended) -> None:
        """Hand over a record, or the end of one that was handed over before. Never waits."""
        if self._queue.full():
            log.error(
                "command not recorded in the database",
                id=record.id, client=record.client, command=record.command, status=record.status,
            )  # fmt: skip
        else:
            self._queue.put_nowait(record)

    async def run(self) -> None:
        """Write records, in order, until cancelled; a record leaves only once it is written or refused for good."""
        while True:
            if self._current is None:
                self._current = await self._queue.get()
            try:
                await self._write(self._current)
            except (
                asyncpg.DataError,
                asyncpg.IntegrityConstraintViolationError,
                ValueError,
                TypeError,
                RecursionError,
            ):
                log.exception("command cannot be recorded", id=self._current.id, command=self._current.command)
            except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
                log.warning("command not yet recorded", id=self._current.id, reason=str(error))
                await self._clock.sleep(self._backoff.next())
                continue
            self._backoff.reset()
            self._current = None

    async def _write(self, record: Record | Ended) -> None:
        if isinstance(record, Ended):
            await self._end(record)
            return
        await self._pool.execute(
            _INSERT,
            _text(record.id),
            _moment(record.ts),
            _text(record.client),
            _text(record.command),
            _jsonb(json.dumps(redacted("", record.args))),  # somebody may have sent a password
            record.status,
            _kept(record.result),
            _said(record.error),
            _moment(record.finished_at),
            timeout=_DEADLINE,
        )

    async def _end(self, end: Ended) -> None:
        who = end.id, end.client, end.command
        became = end.status, _kept(end.result), _said(end.error), _moment(end.finished_at)
        await self._pool.execute(_END, *who, *became, timeout=_DEADLINE)


def _said(error: str | None) -> str | None:
    return None if error is None else _jsonb(error)


def _kept(result: str | None) -> str | None:
    """Leave large results out: what is read every second would fill the table."""
    if result is None:
        return None
    return _jsonb(result) if len(result) <= MAX_RESULT else json.dumps({"omitted_characters": len(result)})


def _jsonb(text: str) -> str:
    """Spell JSON for jsonb, which takes every character but NUL."""
    return text.replace("\\u0000", "\\ufffd")


def _text(name: str) -> str:
    """Spell what was refused for a NUL, so that it is recorded all the same."""
    return name.replace("\0", "\ufffd")


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / SECOND, UTC)
