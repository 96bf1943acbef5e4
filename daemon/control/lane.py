"""Answers what comes on one command stream: each command is admitted, claimed, done once, remembered, replied to."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from bus.clock import Clock
from bus.commands import Reply
from bus.metrics import COMMANDS
from bus.streams import Access, StreamNames
from daemon.control.access import needed, permitted
from daemon.control.audit import Record
from daemon.control.command import Commands
from daemon.control.execute import execute, refuse
from daemon.control.memory import Memory
from daemon.control.patience import Patience
from daemon.control.rate import RateLimit
from daemon.control.request import MAX_BYTES, Rejected, Request, Sender, parse, sender, size
from daemon.control.stream import CommandStream

log = structlog.get_logger(__name__)

KEPT_REPLIES: Final = 10_000


class Lane:
    """One command stream, of those who may do so much, and what is done about its entries, one after the other."""

    def __init__(
        self,
        redis: Redis,
        names: StreamNames,
        access: Access,
        commands: Commands,
        audit: Callable[[Record], None],
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._redis = redis
        self._access = access
        self._commands = commands
        self._audit = audit
        self._patience = patience
        self._clock = clock
        self._names = names
        self._stream = CommandStream(redis, names.commands_for(access), patience)
        self._memory = Memory(redis, names.prefix, access)
        self._rate = RateLimit(clock)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._stream.serve(self._handle)

    async def _handle(self, entry: str, fields: Mapping[bytes, bytes]) -> None:
        received = self._clock.now()
        try:
            self._admit(entry, fields)
            request = parse(entry, fields)
        except Rejected as error:
            await self._reject(sender(entry, fields), error, received)
        else:
            await self._answer(request, received)
        if size(fields) > MAX_BYTES:
            await self._patience.insist(lambda: self._stream.remove(entry))

    def _admit(self, entry: str, fields: Mapping[bytes, bytes]) -> None:
        """Count a command before anything is done about it. Raises Rejected when its client sends too many."""
        who = sender(entry, fields)
        wait = self._rate.take(who.client)
        if wait:
            by = f"the client {who.client}" if who.client else "clients that give no name"
            raise Rejected("rate_limited", f"too many commands by {by}; wait {wait:.3f} s", round(wait, 3))

    async def _answer(self, request: Request, received: int) -> None:
        token = uuid.uuid4().hex
        if await self._patience.insist(lambda: self._memory.claim(request, token)):
            reply = await self._carry_out(request)
            await self._conclude(request, reply, received)
            if reply.status == "done":
                self._commands.find(request.command).answered()
            return
        fields_before = await self._patience.insist(lambda: self._memory.recall(request))
        if fields_before is not None:
            await self._send(fields_before)
            return
        message = "marketd ended while carrying this out: look at what it did, then send it again under a new id"
        await self._conclude(request, refuse(request, "failed", "interrupted", message), received)

    async def _carry_out(self, request: Request) -> Reply:
        if request.command in self._commands:
            name = self._commands.find(request.command).name
            if not permitted(self._access, name):
                stream = self._names.commands_for(needed(name))
                message = f"{request.command} is not obeyed on this stream: it belongs on {stream}"
                return refuse(request, "rejected", "not_permitted", message)
        return await execute(self._commands, request, self._clock)

    async def _reject(self, who: Sender, error: Rejected, received: int) -> None:
        """Answer what is not even tried, and not remembered either."""
        reply = refuse(who, "rejected", error.code, str(error), error.retry_after)
        log.warning("command rejected", id=who.id, client=who.client, reason=str(error))
        fields = reply.fields()
        self._note(who, {}, reply, fields, received)
        await self._send(fields)

    async def _conclude(self, request: Request, reply: Reply, received: int) -> None:
        """Remember, then answer: an answer lost in between is given again when the entry comes back."""
        log.info("command", command=request.command, id=request.id, client=request.client, status=reply.status)
        fields = reply.fields()
        self._note(request, request.args, reply, fields, received)
        await self._patience.insist(lambda: self._memory.keep(request, fields))
        await self._send(fields)

    async def _send(self, fields: Mapping[str, str]) -> None:
        entry: dict[Any, Any] = {**fields}
        await self._patience.insist(
            lambda: self._redis.xadd(self._names.replies, entry, maxlen=KEPT_REPLIES, approximate=True)
        )

    def _note(
        self, to: Request | Sender, args: Mapping[str, Any], reply: Reply, fields: Mapping[str, str], received: int
    ) -> None:
        name = self._commands.find(reply.command).name if reply.command in self._commands else "unknown"
        COMMANDS.labels(name, reply.status).inc()
        self._audit(
            Record(
                to.id, received, to.client, to.command, args, reply.status, fields.get("result"), fields.get("error"),
                self._clock.now(),
            )
        )  # fmt: skip
