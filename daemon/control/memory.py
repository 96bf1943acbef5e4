"""Remembers what was done for which command id, across restarts, so that no command takes effect twice."""

import json
from collections.abc import Mapping
from typing import Final

from redis.asyncio import Redis

from bus.streams import Access
from daemon.control.access import READING
from daemon.control.request import Request

REMEMBERED: Final = 48 * 3600
"""Seconds for which an id is remembered: longer than entries stay on the command stream."""
REMEMBERED_READING: Final = 300
"""Seconds for the reply to a command that changes nothing: it may be large, and come every second."""


class Memory:
    """One Redis key per command id: first a claim, later the reply's fields."""

    def __init__(self, redis: Redis, prefix: str, access: Access) -> None:
        self._redis = redis
        self._prefix = f"{prefix}:command:{access}"  # nobody takes an id away from those who may do more

    async def claim(self, request: Request, token: str) -> bool:
        """Reserve a request's id before it takes effect; False when it is taken.

        `token` is the attempt's own, so that asking again after a lost answer does not find the id taken by itself.
        """
        key = self._key(request)
        if await self._redis.set(key, json.dumps({"claim": token}), nx=True, ex=REMEMBERED):
            return True
        return await self._stored(key) == {"claim": token}

    async def recall(self, request: Request) -> Mapping[str, str] | None:
        """Return the reply given for this id; None when the id was claimed and the process died before it replied."""
        stored = await self._stored(self._key(request))
        return stored if "status" in stored else None

    async def keep(self, request: Request, fields: Mapping[str, str]) -> None:
        """Store the reply for whoever sends this id again."""
        seconds = REMEMBERED_READING if request.command in READING else REMEMBERED
        await self._redis.set(self._key(request), json.dumps(dict(fields)), ex=seconds)

    async def _stored(self, key: str) -> dict[str, str]:
        stored = await self._redis.get(key)
        return dict(json.loads(stored)) if stored else {}

    def _key(self, request: Request) -> str:
        kind = "entry" if request.id == request.entry else "id"
        return f"{self._prefix}:{kind}:{request.id}"
