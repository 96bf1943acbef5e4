"""What other programs use: subscriptions as async iterators of typed events, commands that are awaited."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import structlog

from bus.client.commanding import Replies
from bus.client.reader import Reader, log_loss
from bus.client.selection import Choice, Selection, reached
from bus.clock import SECOND, Clock, SystemClock
from bus.commands import Reply, ReplyStatus
from bus.errors import BusUnavailable, CommandFailed, CommandRejected, NotPermitted
from bus.events import TASK_ENDS, Event, Task
from bus.interface import Loss
from bus.redis.connection import connect, not_permitted, reaching
from bus.streams import Access, StreamNames

log = structlog.get_logger(__name__)
T = TypeVar("T")

FOLLOW_FROM: Final = 60 * SECOND
"""How far back (ns) a task is looked for: by so much the daemon's clock may be behind ours."""

PATIENCE: Final = 60.0
LONGEST_BACKOFF: Final = 5.0
SAVE_INTERVAL: Final = 0.1
"""Seconds of work after which a durable subscription notes how far it is."""


class Client:
    """A connection to marketd's bus.

    `url`: of Redis, as `marketd env` prints it. `name`: who sends, for the daemon's log and limits. `access`: which
    command stream to send on; `read` and `trade` are for users whom Redis allows no more. `patience`: seconds that
    Redis may be out of reach in the midst of something before that raises BusUnavailable; at first contact it raises
    at once. Every call raises NotPermitted where this user of Redis may not do what it needs.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "md",
        name: str = "python",
        access: Access = "operate",
        patience: float = PATIENCE,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._url = url
        self._names = StreamNames(prefix)
        self._name = name
        self._access: Access = access
        self._patience = patience
        self._clock = clock or SystemClock()
        self._random = random or Random()
        self._redis = connect(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    async def subscribe(
        self,
        *,
        exchange: Choice = None,
        channel: Choice = None,
        symbol: Choice = None,
        since: int | None = None,
        group: str | None = None,
        on_loss: Callable[[Loss], None] = log_loss,
    ) -> AsyncGenerator[Event, None]:
        """Yield events for ever, in order per stream; each filter is one name, several, or None for all.

        `since`: from events that came at this time (ns UTC) on, as far back as the bus goes, about an hour; None: from
        now on. `group`: a durable subscription of this name: a later one goes on where this one ended, also after a
        crash; every event comes at least once, and counts as dealt with when the consumer comes back for the next
        frame. One consumer at a time uses a name. `on_loss` is told of frames that were trimmed away before they were
        read. Raises UsageError, BusUnavailable, NotPermitted.
        """
        selection = Selection(self._names, exchange, channel, symbol)
        reader = Reader(
            self._redis, self._url, self._names, selection, self._clock, since=since, group=group, lost=on_loss
        )
        first = True
        saved = self._clock.monotonic()
        try:
            while True:
                frames = await self._patiently(reader.read, patience=0 if first else None)
                first = False
                for frame in frames:
                    for event in frame.events:
                        if selection.wants(event) and (since is None or reached(event) >= since):
                            yield event
                    reader.done(frame)
                    if self._clock.monotonic() - saved > SAVE_INTERVAL:
                        saved = self._clock.monotonic()
                        await self._patiently(reader.save)
                await self._patiently(reader.save)
        finally:
            await reader.close()

    async def exchanges(self) -> list[str]:
        """Return the exchanges of which something is, or has been, on the bus. Raises BusUnavailable, NotPermitted."""

        async def look() -> list[str]:
            async with reaching(self._url):
                listed = await self._redis.smembers(self._names.directory)
            return sorted({stream.exchange for name in listed if (stream := self._names.parse(name.decode()))})

        return await self._patiently(look, patience=0)

    async def command(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        on_progress: Callable[[Reply], None] | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 # between two replies
        id: str | None = None,  # noqa: A002 # the field's name
        expires: int | None = None,
        expect_version: int | None = None,
    ) -> Any:
        """Send a command and return its result.

        `timeout`: seconds that may pass between two replies, and that Redis may be out of reach. `id`: of a command
        that must not be done twice, also when it is sent again after NoReply. `expires`: unix ms after which it is not
        to be done any more.
        Raises CommandRejected, CommandFailed, NoReply, BusUnavailable, NotPermitted.
        """
        replies = self.replies(name, args, timeout=timeout, id=id, expires=expires, expect_version=expect_version)
        async for reply in replies:
            if reply.error is not None:
                kind = _ERRORS.get(reply.status, CommandFailed)
                raise kind(reply.error.code, reply.error.message, reply.error.retry_after)
            if reply.status == "done":
                return reply.result
            if on_progress is not None:
                on_progress(reply)
        raise AssertionError("replies end with the last word on a command")

    async def replies(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 # as above
        id: str | None = None,  # noqa: A002 # as above
        expires: int | None = None,
        expect_version: int | None = None,
    ) -> AsyncIterator[Reply]:
        """Send a command and yield every reply up to the last word, whatever it is. See `command`."""
        numbers = {"expires": expires, "expect_version": expect_version}
        fields = {"command": name, "args": json.dumps(dict(args or {})), "client": self._name} | {
            key: str(number) for key, number in numbers.items() if number is not None
        }
        stream, patience = self._names.commands_for(self._access), min(self._patience, timeout)
        replies = Replies(self._redis, self._url, self._names, stream, fields, id, timeout)
        await self._patiently(replies.begin, patience=0)
        await self._patiently(replies.send, patience=patience)
        while not replies.ended:
            waiting = self._clock.monotonic()
            while not (found := await self._patiently(replies.next, patience=patience)):
                if self._clock.monotonic() - waiting > timeout:
                    raise replies.unanswered()
            for reply in found:
                yield reply

    async def follow(self, task: str) -> AsyncGenerator[Task, None]:
        """Yield what is told about a background task that was just started, up to its end: done, failed or cancelled.

        Raises BusUnavailable, NotPermitted.
        """
        async with aclosing(self.subscribe(channel="system", since=self._clock.now() - FOLLOW_FROM)) as events:
            async for event in events:
                if isinstance(event, Task) and event.id == task:
                    yield event
                    if event.state in TASK_ENDS:
                        return

    async def _patiently(self, action: Callable[[], Awaitable[T]], *, patience: float | None = None) -> T:
        """Do something with Redis, through disconnections for as long as our patience lasts (s); 0: try once."""
        longest = self._patience if patience is None else patience
        began = self._clock.monotonic()
        failures = 0
        while True:
            try:
                return await action()
            except BusUnavailable as error:
                if not_permitted(error):
                    raise NotPermitted(str(error)) from error
                failures += 1
                if not longest or self._clock.monotonic() - began > longest:
                    raise
                log.warning("the bus is out of reach, trying again", reason=str(error), failures=failures)
                pause = min(LONGEST_BACKOFF, 0.05 * 2 ** min(failures, 10), longest)
                await self._clock.sleep(self._random.uniform(0.0, pause))


_ERRORS: Final[Mapping[ReplyStatus, type[CommandFailed | CommandRejected]]] = {
    "rejected": CommandRejected,
    "failed": CommandFailed,
}
