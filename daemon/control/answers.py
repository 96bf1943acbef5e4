"""Answers commands whose work goes on in the background: how far it is, and in the end what came of it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from bus.commands import Problem, Reply
from bus.streams import StreamNames
from daemon.control.audit import Ended
from daemon.control.lane import KEPT_REPLIES
from daemon.control.memory import Memory
from daemon.control.patience import UNREACHABLE
from daemon.control.request import Request
from daemon.redact import redact
from daemon.tasks.ledger import TaskRecord

log = structlog.get_logger(__name__)

DEADLINE: Final = 5.0


def asker(request: Request) -> dict[str, str]:
    """Return what is kept of a command, to answer it later."""
    return {"entry": request.entry, "id": request.id, "client": request.client, "command": request.command}


class Answers:
    """Replies to operators' commands; the last word is also what the same command gets when it is sent again.

    `audit` is told the last word, too.
    """

    def __init__(self, redis: Redis, names: StreamNames, audit: Callable[[Ended], None]) -> None:
        self._redis = redis
        self._audit = audit
        self._replies = names.replies
        self._memory = Memory(redis, names.prefix, "operate")

    async def tell(self, task: TaskRecord) -> None:
        """Answer whoever asked for a task; a bus that is away delays nothing: the table `tasks` tells it, too."""
        if task.asker is None:
            return
        request = Request(**task.asker, args={}, expires=None, expect_version=None)
        reply = _reply(request, task)
        fields = reply.fields()
        if task.finished:
            said = fields.get("result"), fields.get("error")
            self._audit(Ended(request.id, request.client, request.command, reply.status, *said, task.ts))
        try:
            async with asyncio.timeout(DEADLINE):
                if task.finished:
                    await self._memory.keep(request, fields)
                await self._send(fields)
        except UNREACHABLE as error:
            log.warning("command not answered", id=request.id, task=task.id, reason=str(error))

    async def _send(self, fields: Mapping[str, str]) -> None:
        entry: dict[Any, Any] = {**fields}
        await self._redis.xadd(self._replies, entry, maxlen=KEPT_REPLIES, approximate=True)


def _reply(request: Request, task: TaskRecord) -> Reply:
    to = request.id, request.client, request.command
    if task.state == "done":
        return Reply(*to, "done", {"id": task.id, "result": task.result})
    if task.finished:
        return Reply(*to, "failed", error=Problem(task.state, redact(task.error) or f"the task was {task.state}"))
    told = {"id": task.id, "state": task.state, "done": task.done, "total": task.total}
    return Reply(*to, "progress", {**told, "rate": task.rate, "seconds_left": task.seconds_left})
