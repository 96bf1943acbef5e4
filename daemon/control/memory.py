"""Remembers what was done for which command id, across restarts, so that no command takes effect twice."""

import json
from collections.abc import Mapping
from typing import Final

from redis.asyncio import Redis

from daemon.control.request import Request

REMEMBERED: Final = 48 * 3600
"""Seconds for which an id is remembered: longer than entries stay on the command stream."""


class Memory:
    """One Redis key per command id: first a claim, later the reply's fields."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

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
        await self._redis.set(self._key(request), json.dumps(dict(fields)), ex=REMEMBERED)

    async def _stored(self, key: str) -> dict[str, str]:
        stored = await self._redis.get(key)
        return dict(json.loads(stored)) if stored else {}

    def _key(self, request: Request) -> str:
        kind = "entry" if request.id == request.entry else "id"
        return f"{self._prefix}:command:{kind}:{request.id}"
