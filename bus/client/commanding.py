"""One command under way: sending it, and finding its replies among those to others."""

import uuid
from collections.abc import Mapping
from typing import Final

from bus.commands import FINAL, Reply, parse_reply
from bus.errors import NoReply
from bus.redis.connection import ANSWER_DEADLINE, Client, reaching
from bus.streams import StreamNames

BLOCK_MS: Final = 250
REPLIES: Final = 16
"""Replies, of whomever, in one read: they may be large."""


class Replies:
    """The replies to one command. `begin` comes first, then `send`, then `next` until `ended`.

    `timeout`: seconds to wait for one reply, and at most for Redis.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        names: StreamNames,
        stream: str,
        fields: Mapping[str, str],
        identity: str | None,
        timeout: float,
    ) -> None:
        self._client = client
        self._url = url
        self._names = names
        self._stream = stream
        self._id = identity or uuid.uuid4().hex
        self._fields = {**fields, "id": self._id}
        self._timeout = timeout
        self._deadline = min(ANSWER_DEADLINE, max(1.0, timeout))  # a second is little to connect in
        self._cursor = "0"
        self._heard = False
        """Whether anything has been said of it."""
        self.ended = False
        """Whether the last word has been said."""

    async def begin(self) -> None:
        """Find the end of the replies given so far. Raises BusUnavailable."""
        async with reaching(self._url, self._deadline):
            last = await self._client.xrevrange(self._names.replies, count=1)
        self._cursor = last[0][0].decode() if last else "0"

    async def send(self) -> None:
        """Send the command; sent again after a break it is not done twice, because of its id. Raises BusUnavailable."""
        async with reaching(self._url, self._deadline):
            await self._client.xadd(self._stream, self._fields)

    async def next(self) -> list[Reply]:
        """Return the replies that have come, none after a short while. Raises BusUnavailable."""
        async with reaching(self._url, self._deadline + BLOCK_MS / 1000):
            answer = await self._client.xread({self._names.replies: self._cursor}, count=REPLIES, block=BLOCK_MS)
        found: list[Reply] = []
        for entry, fields in answer[0][1] if answer else ():
            self._cursor = entry.decode()
            if fields.get(b"id") == self._id.encode() and not self.ended:
                found.append(parse_reply(fields))
                self._heard = True
                self.ended = found[-1].status in FINAL
        return found

    def unanswered(self) -> NoReply:
        """Return the error that nobody answers, or that nothing more has come."""
        if self._heard:
            return NoReply(
                f"'{self._fields['command']}' was accepted, and nothing more was heard of it within "
                f"{self._timeout:g} s: it may still be under way"
            )
        after = " Once it has expired it is not done any more." if "expires" in self._fields else ""
        return NoReply(
            f"nobody answered '{self._fields['command']}' within {self._timeout:g} s: does a marketd with the control "
            f"server run on this Redis with bus.prefix '{self._names.prefix}'?{after}"
        )
