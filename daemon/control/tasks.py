"""Commands about background tasks: task.start, tasks.list, task.get, task.cancel."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from pydantic import Field, JsonValue

from bus.clock import SECOND
from bus.errors import UsageError
from daemon.control.answers import asker
from daemon.control.command import Accepted, AnyCommand, Arguments, Command, Identifier, Outcome, SignedCommand
from daemon.control.request import Request
from daemon.history.arguments import Download
from daemon.tasks.kind import Kinds
from daemon.tasks.ledger import TaskLedger, TaskRecord

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Started(Arguments):
    """What to do in the background."""

    kind: str = Field(max_length=64, description="the kind of task, e.g. download")
    args: Mapping[str, JsonValue] = Field(default={}, description="the arguments of this kind")


class Listed(Arguments):
    """Which tasks to list; what is left out does not matter."""

    state: State | None = Field(default=None, description="queued, running, done, failed or cancelled")
    kind: str | None = Field(default=None, description="of this kind")
    limit: int = Field(default=100, ge=1, le=10_000, description="the newest so many")


class Named(Arguments):
    """Which task."""

    id: Identifier = Field(min_length=1, max_length=100, description="the task's id, from tasks.list")


def task_start(kinds: Kinds, ledger: TaskLedger) -> SignedCommand[Started]:
    """Make `task.start`: begins work of any kind; what is under way with the same arguments is not begun twice."""

    async def run(arguments: Started, request: Request) -> Outcome:
        kinds.find(arguments.kind).parse(arguments.args)
        return await _begun(ledger, arguments.kind, arguments.args, request)

    return SignedCommand("task.start", Started, run)


def backfill_start(ledger: TaskLedger) -> SignedCommand[Download]:
    """Make `backfill.start`: brings the history of trades or candles into the database, in the background."""

    async def run(arguments: Download, request: Request) -> Outcome:
        asked = arguments.model_dump(mode="json", exclude_unset=True)
        return await _begun(ledger, "backfill", asked, request)

    return SignedCommand("backfill.start", Download, run)


async def _begun(ledger: TaskLedger, kind: str, args: Mapping[str, JsonValue], request: Request) -> Outcome:
    """Accept work; its progress and its end are told to whoever asked. What is under way already is only described."""
    submitted = await ledger.submit(kind, args, asker(request))
    task = described(await ledger.get(submitted.id))
    return Accepted(task) if submitted.new else task


def tasks_list(ledger: TaskLedger) -> Command[Listed]:
    """Make `tasks.list`: background tasks, newest first."""

    async def run(arguments: Listed) -> JsonValue:
        return [described(task) for task in await ledger.recent(arguments.state, arguments.kind, arguments.limit)]

    return Command("tasks.list", Listed, run)


def task_get(ledger: TaskLedger) -> Command[Named]:
    """Make `task.get`: one task with its result."""

    async def run(arguments: Named) -> JsonValue:
        task = await ledger.get(arguments.id)
        return {**described(task), "args": dict(task.args), "result": task.result}

    return Command("task.get", Named, run)


def task_cancel(ledger: TaskLedger) -> Command[Named]:
    """Make `task.cancel`: ends a task within a second; what it has stored stays."""

    async def run(arguments: Named) -> JsonValue:
        task = await ledger.get(arguments.id)
        if task.finished:
            raise UsageError(f"task {task.id} is {task.state} already")
        await ledger.cancel(task.id)
        return {"id": task.id, "state": "cancelling"}

    return Command("task.cancel", Named, run)


def described(task: TaskRecord) -> dict[str, JsonValue]:
    """Return what a reply says of a task."""
    told = msgspec.structs.asdict(task)
    shown: dict[str, Any] = {name: told[name] for name in ("id", "kind", "state", "done", "total", "error")}
    rounded = {name: None if told[name] is None else round(told[name], 3) for name in ("rate", "seconds_left")}
    return {**shown, **rounded, "created": round(task.created / SECOND), "changed": round(task.ts / SECOND)}


def commands(kinds: Kinds, ledger: TaskLedger) -> Iterable[AnyCommand]:
    """Return all commands about tasks."""
    return (
        task_start(kinds, ledger), backfill_start(ledger), tasks_list(ledger), task_get(ledger), task_cancel(ledger)
    )  # fmt: skip
