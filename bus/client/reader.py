"""Reads streams as a foreign program does: with XREAD and a place of its own, never with the daemon's groups."""

from collections.abc import Callable
from typing import Any, Final

import structlog

from bus.client.selection import Selection
from bus.client.xread import XRead
from bus.clock import MILLISECOND, Clock
from bus.errors import Poison
from bus.frames import Frame, decode_frame
from bus.interface import Loss
from bus.redis.append import parse_id
from bus.redis.connection import Client, reaching
from bus.streams import StreamNames

log = structlog.get_logger(__name__)

LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks for streams that have appeared."""
BLOCK: Final = 0.5
"""Seconds that a read waits for new frames."""
FRAMES: Final = 256
"""The most frames of one read, of all streams together."""
NOWHERE: Final = ("0", 0)


class Reader:
    """The streams of a selection, each read from its place on; new streams are picked up from their beginning.

    `since`: time (ns) to start at, as far back as the bus still goes; None: now. `group`: the name under which the
    places are kept on the bus, so that a later reader goes on there.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        names: StreamNames,
        selection: Selection,
        clock: Clock,
        *,
        since: int | None,
        group: str | None,
        lost: Callable[[Loss], None],
    ) -> None:
        self._client = client
        self._xread = XRead(client, url)
        self._url = url
        self._names = names
        self._selection = selection
        self._clock = clock
        self._since = since
        self._group = group
        self._lost = lost
        self._places: dict[str, tuple[str, int]] = {}
        self._done: dict[str, str] = {}
        self._next_look = 0.0
        self._opened = False

    async def read(self) -> list[Frame]:
        """Return the next frames, in order per stream; none when nothing came for a while. Raises BusUnavailable."""
        if self._clock.monotonic() >= self._next_look:
            async with reaching(self._url):
                await self._look()
        if not self._places:
            await self._clock.sleep(BLOCK)
            return []
        cursors = {stream: entry for stream, (entry, _) in self._places.items()}
        answer = await self._xread.next(cursors, max(1, FRAMES // len(cursors)), BLOCK)
        return [
            frame
            for stream, entries in answer
            for entry, fields in entries
            if (frame := self._frame(stream.decode(), entry.decode(), fields)) is not None
        ]

    def done(self, frame: Frame) -> None:
        """Note that a frame has been dealt with."""
        if self._group is not None:
            self._done[frame.stream] = f"{frame.entry} {frame.seq}"

    async def save(self) -> None:
        """Keep what is done on the bus: a later reader of the group goes on behind it. Raises BusUnavailable."""
        if self._group is not None and self._done:
            done = dict(self._done)
            async with reaching(self._url):
                await self._client.hset(self._names.place(self._group), mapping=done)
            for stream, place in done.items():
                if self._done[stream] == place:
                    del self._done[stream]

    async def close(self) -> None:
        """End what still waits for frames."""
        await self._xread.stop()

    async def _look(self) -> None:
        """Find streams that have appeared; those that are there at first are read from `since` on."""
        listed = await self._client.smembers(self._names.directory)
        wanted = {name for name in map(bytes.decode, listed) if self._selection.wants_stream(name)}
        new = (wanted | self._selection.own) - self._places.keys()
        if new:
            kept = await self._client.hgetall(self._names.place(self._group)) if self._group else {}
            found = {stream: await self._start(stream, kept.get(stream.encode())) for stream in sorted(new)}
            self._places.update(found)
        self._opened = True
        self._next_look = self._clock.monotonic() + LOOK_INTERVAL

    async def _start(self, stream: str, kept: bytes | None) -> tuple[str, int]:
        """Return where to begin: an entry's id, because `$` would skip what comes between two reads."""
        if kept:
            entry, _, seq = kept.decode().partition(" ")
            return entry, int(seq)
        if self._opened:
            return NOWHERE
        if self._since is not None:
            return f"{max(0, self._since // MILLISECOND - 1)}-18446744073709551615", 0
        last = await self._client.xrevrange(stream, count=1)
        return (last[0][0].decode(), int(last[0][1].get(b"seq", 0))) if last else NOWHERE

    def _frame(self, stream: str, entry: str, fields: dict[bytes, Any]) -> Frame | None:
        before, seq = self._places[stream]
        try:
            frame, _ = decode_frame(stream, entry, fields)  # events of a newer marketd are passed over
        except Poison as error:
            self._places[stream] = (entry, seq)
            log.warning("entry passed over", stream=stream, entry=entry, reason=str(error))
            return None
        if seq and frame.seq > seq + 1:
            times = [parse_id(one)[0] * MILLISECOND for one in (before, entry)]
            self._lost(Loss(stream, seq + 1, frame.seq - 1, *times))
        self._places[stream] = (entry, frame.seq)
        return frame


def log_loss(loss: Loss) -> None:
    """Say that frames were trimmed away before they were read."""
    log.error("frames were gone before they were read", stream=loss.stream, frames=loss.to_seq - loss.from_seq + 1)
