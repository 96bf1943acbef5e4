"""The newest frames, decoded: each handler of a process reads its own copy of the same bytes, and one decodes them."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from bus.frames import Frame, Undecodable, decode_frame

EVENTS_KEPT: Final = 20_000
"""Some seconds of the busiest streams; a handler that is farther behind decodes for itself."""


class FrameCache:
    """Decodes entries. Events are never changed by those who read them, so that all may have the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Mapping[bytes, bytes], tuple[Frame, list[Undecodable]]]] = {}
        self._order: deque[tuple[str, str]] = deque()
        self._events = 0

    def decode(self, stream: str, entry: str, fields: Mapping[bytes, bytes]) -> tuple[Frame, list[Undecodable]]:
        """See `decode_frame`."""
        key = (stream, entry)
        known = self._kept.get(key)
        if known is not None and known[0] == fields:  # a server that has lost its data may give an id again
            return known[1]
        decoded = decode_frame(stream, entry, fields)
        if known is None:
            self._order.append(key)
            self._events += _size(decoded[0])
            self._kept[key] = (fields, decoded)
            while self._events > EVENTS_KEPT:
                _, (oldest, _) = self._kept.pop(self._order.popleft())
                self._events -= _size(oldest)
        return decoded


def _size(frame: Frame) -> int:
    """Return the events of a frame; one of which none could be decoded counts too."""
    return len(frame.events) or 1
