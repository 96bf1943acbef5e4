"""The command server: reads `{prefix}:commands` and answers on `{prefix}:replies`, through every disconnect."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from bus.clock import MILLISECOND, Clock
from bus.commands import Reply
from bus.metrics import COMMANDS
from bus.streams import StreamNames
from daemon.control.audit import Record
from daemon.control.command import Commands
from daemon.control.execute import execute, refuse
from daemon.control.memory import Memory
from daemon.control.request import Rejected, Request, Sender, parse, sender
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

GROUP: Final = "control"
CONSUMER: Final = "marketd"
BLOCK_MS: Final = 1_000
BATCH: Final = 16
KEPT_MS: Final = 24 * 3600 * 1000
"""How long handled commands stay on the stream."""
KEPT_REPLIES: Final = 10_000
DEADLINE: Final = 10.0
"""Seconds for one exchange with Redis."""

UNREACHABLE: Final = (RedisError, OSError, TimeoutError)

T = TypeVar("T")
Entry = tuple[bytes, dict[bytes, bytes] | None]


class ControlServer:
    """Handles commands one after the other. One such server per bus: two would share the commands out between them."""

    def __init__(
        self,
        redis: Redis,
        names: StreamNames,
        commands: Commands,
        audit: Callable[[Record], None],
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._redis = redis
        self._names = names
        self._commands = commands
        self._audit = audit
        self._clock = clock
        self._backoff = Backoff(rng, longest=5.0)
        self._memory = Memory(redis, names.prefix)

    async def run(self) -> None:
        """Serve until cancelled: first what was read and not answered before an interruption, then what comes."""
        while True:
            try:
                await self._create_group()
                await self._serve("0")
                self._backoff.reset()
                await self._serve(">")
            except UNREACHABLE as error:
                await self._wait(error)

    async def _create_group(self) -> None:
        """Create the group at the stream's beginning: nothing sent while no daemon ran is passed over."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self._redis.xgroup_create(self._names.commands, GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _serve(self, position: str) -> None:
        """Handle entries: own pending ones (`0`) until there are none, or new ones (`>`) for ever."""
        while True:
            entries = await self._read(position)
            if not entries and position == "0":
                return
            for entry, fields in entries:
                await self._handle(entry.decode(), fields or {})

    async def _read(self, position: str) -> list[Entry]:
        stream = self._names.commands
        async with asyncio.timeout(DEADLINE):
            answer: Any = await self._redis.xreadgroup(GROUP, CONSUMER, {stream: position}, count=BATCH, block=BLOCK_MS)
        return _entries(answer)

    async def _handle(self, entry: str, fields: Mapping[bytes, bytes]) -> None:
        if fields:  # a pending entry that was trimmed away comes back empty
            await self._answer(entry, fields)
        old = min(self._clock.now() // MILLISECOND - KEPT_MS, int(entry.partition("-")[0]))
        async with asyncio.timeout(DEADLINE):
            await self._redis.xack(self._names.commands, GROUP, entry)
            await self._redis.xtrim(self._names.commands, minid=str(old), approximate=False)

    async def _answer(self, entry: str, fields: Mapping[bytes, bytes]) -> None:
        received = self._clock.now()
        try:
            request = parse(entry, fields)
        except Rejected as error:
            await self._reject(sender(entry, fields), error, received)
            return
        token = uuid.uuid4().hex
        if await self._patiently(lambda: self._memory.claim(request, token)):
            reply = await execute(self._commands, request, self._clock)
            await self._conclude(request, reply, received)
            return
        fields_before = await self._patiently(lambda: self._memory.recall(request))
        if fields_before is not None:
            await self._send(fields_before)
            return
        message = "marketd ended while carrying this out: look at what it did, then send it again under a new id"
        await self._conclude(request, refuse(request, "failed", "interrupted", message), received)

    async def _reject(self, who: Sender, error: Rejected, received: int) -> None:
        """Answer what is no request at all."""
        reply = refuse(who, "rejected", error.code, str(error))
        log.warning("command rejected", id=who.id, client=who.client, reason=str(error))
        self._note(who, {}, reply, received)
        await self._send(reply.fields())
        if error.code == "too_large":
            await self._patiently(lambda: self._redis.xdel(self._names.commands, who.entry))

    async def _conclude(self, request: Request, reply: Reply, received: int) -> None:
        """Remember, then answer: an answer lost in between is given again when the entry comes back."""
        log.info("command", command=request.command, id=request.id, client=request.client, status=reply.status)
        self._note(request, request.args, reply, received)
        fields = reply.fields()
        await self._patiently(lambda: self._memory.keep(request, fields))
        await self._send(fields)

    async def _send(self, fields: Mapping[str, str]) -> None:
        entry: dict[Any, Any] = {**fields}
        await self._patiently(
            lambda: self._redis.xadd(self._names.replies, entry, maxlen=KEPT_REPLIES, approximate=True)
        )

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Do something with Redis, as often as it takes: the outcome of a command is not lost to a disconnect."""
        while True:
            try:
                async with asyncio.timeout(DEADLINE):
                    outcome = await operation()
            except UNREACHABLE as error:
                await self._wait(error)
            else:
                self._backoff.reset()
                return outcome

    async def _wait(self, error: Exception) -> None:
        delay = self._backoff.next()
        log.warning("command stream out of reach", reason=str(error), retry_in=round(delay, 3))
        await self._clock.sleep(delay)

    def _note(self, to: Request | Sender, args: Mapping[str, Any], reply: Reply, received: int) -> None:
        name = reply.command if reply.command in self._commands else "unknown"
        COMMANDS.labels(name, reply.status).inc()
        self._audit(
            Record(
                to.id, received, to.client, to.command, args, reply.status, reply.result, reply.error, self._clock.now()
            )
        )


def _entries(answer: Any) -> list[Entry]:
    """Find the entries in an answer to XREADGROUP: a list under RESP2, a map under RESP3, of one stream."""
    streams = list(answer.values()) if isinstance(answer, dict) else [pairs for _, pairs in answer or ()]
    return [entry for pairs in streams for entry in _flat(pairs)]


def _flat(pairs: Any) -> list[Entry]:
    """Undo the extra nesting that redis-py gives RESP3 answers."""
    return pairs[0] if pairs and isinstance(pairs[0], list) else pairs
