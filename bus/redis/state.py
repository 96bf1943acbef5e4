"""What handlers must remember over restarts, kept in Redis next to their read position."""

from collections.abc import Mapping
from typing import Final

from bus.redis.connection import Client, reaching
from bus.streams import StreamNames

_SAVE: Final = """
for at = 1, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[at])
  else
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  end
end
"""


class RedisState:
    """A hash per handler; its values are saved before the batch that changed them is acknowledged."""

    def __init__(self, client: Client, names: StreamNames, url: str) -> None:
        self._client = client
        self._names = names
        self._url = url

    def _key(self, handler: str) -> str:
        return f"{self._names.prefix}:state:{handler}"

    async def load(self, handler: str) -> dict[str, bytes]:
        """Return everything that this handler has saved. Raises BusUnavailable."""
        async with reaching(self._url):
            found = await self._client.hgetall(self._key(handler))
        return {key.decode(): value for key, value in found.items()}

    async def save(self, handler: str, changes: Mapping[str, bytes]) -> None:
        """Store the changed values, all at once; an empty one is forgotten. Raises BusUnavailable."""
        flat = [part for pair in changes.items() for part in pair]
        async with reaching(self._url):
            await self._client.eval(_SAVE, 1, self._key(handler), *flat)
