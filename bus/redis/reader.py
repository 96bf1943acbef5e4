"""Reads streams as a foreign program does: without a group, with a cursor of its own; for `tail` and clients."""

from collections.abc import AsyncIterator
from typing import Final

from bus.errors import Poison
from bus.frames import Frame, decode_frame
from bus.redis.connection import connect, reaching
from bus.streams import StreamNames

_LOOK_INTERVAL_READS: Final = 2
_BLOCK_MS: Final = 500
_FRAMES: Final = 200


class StreamReader:
    """An async iterator of frames of the streams that fit, from now on, including streams that appear later."""

    def __init__(self, url: str, names: StreamNames, exchange: str | None = None, channel: str | None = None) -> None:
        self._url = url
        self._names = names
        self._exchange = exchange
        self._channel = channel
        self._client = connect(url)
        self._cursors: dict[str, str] = {}

    def _fits(self, stream: str) -> bool:
        parsed = self._names.parse(stream)
        return (
            parsed is not None and self._exchange in (None, parsed.exchange) and self._channel in (None, parsed.channel)
        )

    async def _look(self, start: str) -> None:
        """Find the streams that fit; a cursor is an entry id, because `$` would skip what comes between two reads."""
        own = {"system": self._names.system, "dead": self._names.dead, "paper": self._names.paper}
        async with reaching(self._url):
            if self._channel in own:
                wanted = {own[self._channel]}
            else:
                listed = await self._client.smembers(self._names.directory)
                wanted = {name for name in map(bytes.decode, listed) if self._fits(name)}
            for stream in wanted - self._cursors.keys():
                last = await self._client.xrevrange(stream, count=1) if start == "$" else None
                self._cursors[stream] = last[0][0].decode() if last else "0"

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """Yield frames until the caller stops. Raises BusUnavailable."""
        await self._look("$")
        while True:
            for _ in range(_LOOK_INTERVAL_READS):
                for frame in await self._read():
                    yield frame
            await self._look("0")

    async def _read(self) -> list[Frame]:
        # without a stream to wait for, wait on a name that may become one
        waiting = self._cursors or {self._names.system: "$"}
        async with reaching(self._url):
            answer = await self._client.xread(waiting, count=_FRAMES, block=_BLOCK_MS) or []
        frames = []
        for name, entries in answer:
            stream = name.decode()
            if stream not in self._cursors:
                continue
            for entry, fields in entries:
                self._cursors[stream] = entry.decode()
                try:
                    frames.append(decode_frame(stream, entry.decode(), fields)[0])
                except Poison:
                    continue  # not written by marketd, or by a newer one
        return frames

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()
