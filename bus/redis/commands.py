"""Sends commands to a running daemon and follows the replies."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bus.commands import FINAL, Reply, parse_reply
from bus.errors import BusUnavailable
from bus.redis.connection import connect, reaching
from bus.streams import StreamNames

_BLOCK_MS = 500


class CommandClient:
    """One sender of commands. Replies are told apart by the command's id."""

    def __init__(self, url: str, names: StreamNames, client: str = "ctl") -> None:
        self._url = url
        self._names = names
        self._name = client
        self._client = connect(url)

    async def send(
        self,
        command: str,
        args: Mapping[str, Any] | None = None,
        *,
        deadline: float = 10.0,
        expect_version: int | None = None,
    ) -> AsyncIterator[Reply]:
        """Send a command and yield its replies up to the final one.

        `deadline`: seconds that may pass between two replies. `expect_version`: of the
        configuration, for what changes it. Raises BusUnavailable when nobody answers in time.
        """
        identity = uuid.uuid4().hex
        async with reaching(self._url):
            last = await self._client.xrevrange(self._names.replies, count=1)
            cursor = last[0][0].decode() if last else "0"
            fields = {"command": command, "args": json.dumps(dict(args or {})), "id": identity, "client": self._name}
            if expect_version is not None:
                fields["expect_version"] = str(expect_version)
            await self._client.xadd(self._names.commands, fields)
        while True:
            try:
                async with asyncio.timeout(deadline):
                    cursor, replies = await self._next(cursor, identity)
            except TimeoutError as error:
                raise BusUnavailable(
                    f"nobody answered '{command}' within {deadline:g} s: does a marketd with the control server run "
                    f"on this Redis with bus.prefix '{self._names.prefix}'?"
                ) from error
            for reply in replies:
                yield reply
                if reply.status in FINAL:
                    return

    async def _next(self, cursor: str, identity: str) -> tuple[str, list[Reply]]:
        while True:
            async with reaching(self._url):
                answer = await self._client.xread({self._names.replies: cursor}, block=_BLOCK_MS)
            found = []
            for entry, fields in answer[0][1] if answer else []:
                cursor = entry.decode()
                if fields.get(b"id") == identity.encode():
                    found.append(parse_reply(fields))
            if found:
                return cursor, found

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()
