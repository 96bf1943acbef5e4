"""XREAD of many streams at once, on one server or on a cluster."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from bus.errors import BusUnavailable
from bus.redis.cluster import ClusterClient
from bus.redis.connection import ANSWER_DEADLINE, Client, reaching
from bus.redis.first_come import FirstCome

Answer: TypeAlias = Sequence[tuple[bytes, Sequence[tuple[bytes, dict[bytes, Any]]]]]


class XRead:
    """One command on one server (https://valkey.io/commands/xread/); on a cluster one for each stream."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url
        self._each = FirstCome(self._one)
        self._places: Mapping[str, str] = {}
        self._count = 0
        self._block = 0.0

    async def next(self, places: Mapping[str, str], count: int, block: float) -> Answer:
        """Return what stands behind these places, at most `count` entries a stream, none after `block` seconds.

        Raises BusUnavailable; of a cluster when there is nothing from the nodes that answer.
        """
        self._places, self._count, self._block = places, count, block
        if not isinstance(self._client, ClusterClient):
            return await self._read(places)
        found: list[Any] = []
        failed: BusUnavailable | None = None
        for _, task in await self._each.next(places, block):
            try:
                found += task.result()
            except BusUnavailable as error:
                failed = error
        if failed is not None and not found:
            raise failed
        return found

    async def _one(self, stream: str) -> Answer:
        return await self._read({stream: self._places[stream]})

    async def _read(self, places: Mapping[str, str]) -> Answer:
        async with reaching(self._url, self._block + ANSWER_DEADLINE):
            return await self._client.xread(dict(places), count=self._count, block=round(self._block * 1000)) or []

    async def stop(self) -> None:
        """End what still waits."""
        await self._each.stop()
