"""The table `tasks`: what is to be done, how far it is, and what came of it. Only this file writes it."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
from pydantic import JsonValue

from bus.clock import MICROSECOND, SECOND
from bus.errors import StoreUnavailable, UsageError, said
from bus.events import TaskState

UNFINISHED: Final = ("queued", "running")
TIMEOUT: Final = 10.0
FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_COLUMNS: Final = "id, kind, state, done, total, args, rate, seconds_left, result, error, cancel, asker, created_at, ts"


class TaskRecord(msgspec.Struct, frozen=True):
    """One task as its row has it; times in ns, `rate` in units a second."""

    id: str
    kind: str
    state: TaskState
    done: int
    total: int | None
    args: Mapping[str, Any]
    rate: float | None
    seconds_left: float | None
    result: Any
    error: str
    """Why it failed, or what it waits for."""
    cancel: bool
    """Whether somebody wants it to end."""
    asker: Mapping[str, str] | None
    """Which command asked for it, None where it was no command: to be answered."""
    created: int
    ts: int

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in UNFINISHED


class Submitted(NamedTuple):
    """A task that was asked for; `new`: it was not under way already."""

    id: str
    new: bool


class TaskLedger:
    """All raise StoreUnavailable."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def submit(
        self, kind: str, args: Mapping[str, JsonValue], asker: Mapping[str, str] | None = None
    ) -> Submitted:
        """Ask for a task; one with the same arguments that is not finished stands for it."""
        spelled = json.dumps(dict(args))
        while True:
            identity = await self._value(
                "insert into tasks (id, kind, state, done, args, asker, ts) "
                "values ($1, $2, 'queued', 0, $3::jsonb, $4::jsonb, now()) "
                "on conflict (kind, md5(args::text)) where state in ('queued', 'running') do nothing returning id",
                uuid.uuid4().hex[:12], kind, spelled, None if asker is None else json.dumps(dict(asker)),
            )  # fmt: skip
            if identity is not None:
                return Submitted(identity, new=True)
            identity = await self._value(
                "select id from tasks where kind = $1 and args = $2::jsonb and state in ('queued', 'running')",
                kind, spelled,
            )  # fmt: skip
            if identity is not None:  # else the other one has just finished
                return Submitted(identity, new=False)

    async def unfinished(self) -> list[TaskRecord]:
        """Return what is to be done, oldest first; not before whoever asked has heard that it was accepted."""
        return await self._records(
            "state in ('queued', 'running') and created_at < now() - interval '200 ms' order by created_at, id"
        )

    async def get(self, identity: str) -> TaskRecord:
        """Return a task. Raises UsageError where there is none."""
        found = await self._records("id = $1", identity)
        if not found:
            raise UsageError(f"there is no task {identity[:64]!r}; tasks.list shows those there are")
        return found[0]

    async def recent(self, state: str | None, kind: str | None, limit: int) -> list[TaskRecord]:
        """Return tasks, newest first."""
        return await self._records(
            "($1::text is null or state = $1) and ($2::text is null or kind = $2) "
            "order by created_at desc, id limit $3", state, kind, limit,
        )  # fmt: skip

    async def cancel(self, identity: str) -> None:
        """Ask for a task's end. One that nobody runs ends with the next look of a process that serves tasks."""
        await self._value("update tasks set cancel = true where id = $1 and state in ('queued', 'running')", identity)

    async def begin(self, identity: str) -> TaskRecord | None:
        """Say that a claimed task runs now, None when it has been finished meanwhile."""
        await self._value(
            "update tasks set state = 'running', ts = now() where id = $1 and state in ('queued', 'running')", identity
        )
        record = await self.get(identity)
        return None if record.finished else record

    async def note(
        self, identity: str, done: int, total: int | None, rate: float | None, left: float | None, error: str
    ) -> None:
        """Write how far a running task is."""
        await self._value(
            "update tasks set done = $2, total = $3, rate = $4, seconds_left = $5, error = $6, ts = now() "
            "where id = $1", identity, done, total, rate, left, error,
        )  # fmt: skip

    async def finish(self, identity: str, state: TaskState, result: JsonValue, error: str) -> None:
        """Write how a task ended; the first word about that is the last."""
        await self._value(
            "update tasks set state = $2, result = $3::jsonb, error = $4, seconds_left = null, ts = now() "
            "where id = $1 and state in ('queued', 'running')",
            identity, state, None if result is None else json.dumps(result), error,
        )  # fmt: skip

    async def _records(self, condition: str, *arguments: object) -> list[TaskRecord]:
        query = f"select {_COLUMNS} from tasks where {condition}"  # noqa: S608 # our own words
        try:
            rows = await self._pool.fetch(query, *arguments, timeout=TIMEOUT)
        except FAILURES as error:
            raise _unavailable(error) from error
        return [_record(row) for row in rows]

    async def _value(self, query: str, *arguments: object) -> Any:
        try:
            return await self._pool.fetchval(query, *arguments, timeout=TIMEOUT)
        except FAILURES as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the table of tasks cannot be used: {said(error)}")


def _record(row: "asyncpg.Record") -> TaskRecord:
    return TaskRecord(
        row["id"], row["kind"], row["state"], row["done"], row["total"], json.loads(row["args"]), row["rate"],
        row["seconds_left"], None if row["result"] is None else json.loads(row["result"]), row["error"], row["cancel"],
        None if row["asker"] is None else json.loads(row["asker"]),
        _ns(row["created_at"]), _ns(row["ts"]),
    )  # fmt: skip


def _ns(moment: datetime) -> int:
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * MICROSECOND
