"""Reads one command stream: hands every entry over until it has been dealt with, through disconnects and crashes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from daemon.control.patience import DEADLINE, UNREACHABLE, Patience

GROUP: Final = "control"
CONSUMER: Final = "marketd"
BLOCK_MS: Final = 1_000

Entry = tuple[bytes, dict[bytes, bytes] | None]
Handle = Callable[[str, Mapping[bytes, bytes]], Awaitable[None]]


class CommandStream:
    """One stream and its group. Entries come one at a time: each may be megabytes of garbage."""

    def __init__(self, redis: Redis, name: str, patience: Patience) -> None:
        self._redis = redis
        self._name = name
        self._patience = patience

    async def serve(self, handle: Handle) -> None:
        """Hand over entries until cancelled: first those read and not done before an interruption, then what comes."""
        while True:
            try:
                await self._create_group()
                await self._drain("0", handle)
                self._patience.reset()
                await self._drain(">", handle)
            except UNREACHABLE as error:
                await self._patience.wait(error)

    async def remove(self, entry: str) -> None:
        """Take an entry off the stream for good."""
        await self._redis.xdel(self._name, entry)

    async def _create_group(self) -> None:
        """Create the group at the stream's beginning: nothing sent while no daemon ran is passed over."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self._redis.xgroup_create(self._name, GROUP, "0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _drain(self, position: str, handle: Handle) -> None:
        """Hand over entries: own pending ones (`0`) until there are none, or new ones (`>`) for ever."""
        while True:
            entries = await self._read(position)
            if not entries and position == "0":
                return
            for entry, fields in entries:
                if fields:  # a pending entry that was trimmed away comes back empty
                    await handle(entry.decode(), fields)
                async with asyncio.timeout(DEADLINE):
                    await self._redis.xack(self._name, GROUP, entry)

    async def _read(self, position: str) -> list[Entry]:
        async with asyncio.timeout(DEADLINE):
            answer: Any = await self._redis.xreadgroup(GROUP, CONSUMER, {self._name: position}, count=1, block=BLOCK_MS)
        return _entries(answer)


def _entries(answer: Any) -> list[Entry]:
    """Find the entries in an answer to XREADGROUP: a list under RESP2, a map under RESP3, of one stream."""
    streams = list(answer.values()) if isinstance(answer, dict) else [pairs for _, pairs in answer or ()]
    return [entry for pairs in streams for entry in _flat(pairs)]


def _flat(pairs: Any) -> list[Entry]:
    """Undo the extra nesting that redis-py gives RESP3 answers."""
    return pairs[0] if pairs and isinstance(pairs[0], list) else pairs
