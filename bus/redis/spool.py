"""Where events wait on disk while Redis is away: bounded, checksummed, first in first out.

A segment is a file of records: length and CRC-32 of the payload (big-endian, 4 bytes each), then the payload, a
msgpack array of events. It outlives a crash of the process, not one of the machine: nothing is forced to the disk.
"""

import fcntl
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final
from zlib import crc32

import msgspec
import structlog

from bus import metrics
from bus.events import Event
from bus.frames import decode_events, encode_events

log = structlog.get_logger(__name__)

SEGMENT_BYTES: Final = 4 * 1024 * 1024
RECORD_EVENTS: Final = 512
"""The most events in one record."""
_HEADER: Final = struct.Struct(">II")
_FIRST: Final = 1_000_000
"""Where numbering begins; a segment can be put before the first one."""
_FOLDERS: Final = 16
"""Processes that can spool below one data directory."""


class Segment(msgspec.Struct, frozen=True):
    """Events read back from one file."""

    events: list[Event]
    inherited: bool
    """Whether an earlier process wrote them: then some of them may stand on the bus already."""
    damaged: bool
    """Whether some that were kept there could not be read back."""


class Spool:
    """The files of one process. Raises OSError when the disk does not take what is to be kept."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Take a folder below `folder` that no other process uses; keep at most `limit` bytes there."""
        self._limit = limit
        self._folder, self._lock = _own_folder(folder)
        self._sealed = deque(sorted(self._folder.glob("*.spool")))
        self._inherited = len(self._sealed)
        self._number = int(self._sealed[-1].stem) if self._sealed else _FIRST
        self._sizes = {path: path.stat().st_size for path in self._sealed}
        self._open: IO[bytes] | None = None
        self._taken: Path | None = None
        self._dropped: list[Event] = []
        self._count()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._sizes

    def put(self, events: Sequence[Event]) -> None:
        """Keep events behind those that wait; where the bound is reached the oldest are given up."""
        self._write(_records(events))
        metrics.SPOOLED.inc(len(events))
        while sum(self._sizes.values()) > self._limit and self._sealed:
            self._give_up(self._sealed.popleft())
        self._count()

    def put_first(self, events: Sequence[Event]) -> None:
        """Keep events before all that wait: for the next process, as what it may find on the bus already."""
        number = min((int(path.stem) for path in self._sizes), default=_FIRST + 1) - 1
        (self._folder / f"{number:010}.spool").write_bytes(_records(events))
        metrics.SPOOLED.inc(len(events))

    def take(self) -> Segment | None:
        """Read the oldest segment back; it stays on disk until `done`. None when nothing waits."""
        if not self._sealed:
            self._seal()
        if not self._sealed:
            return None
        inherited = self._inherited > 0
        self._inherited = max(0, self._inherited - 1)
        self._taken = self._sealed.popleft()
        events, damaged = _read(self._taken)
        return Segment(events, inherited, damaged)

    def done(self) -> None:
        """Say that what was taken stands on the bus."""
        if self._taken is not None:
            self._remove(self._taken)
            self._taken = None
            self._count()

    def dropped(self) -> list[Event]:
        """Return the newest event of each feed among those given up since the last call."""
        given_up, self._dropped = self._dropped, []
        return given_up

    def close(self) -> None:
        """Let go of the folder; what waits there is for the next process."""
        if self._open is not None:
            self._open.close()
        self._lock.close()

    def _write(self, record: bytes) -> None:
        if self._open is None:
            self._number += 1
            self._open = (self._folder / f"{self._number:010}.spool").open("ab", buffering=0)
        path = Path(self._open.name)
        before = self._sizes.get(path, 0)
        written = 0
        try:
            written = self._open.write(record)
        finally:
            if written != len(record):
                self._open.truncate(before)
        if written != len(record):
            raise OSError(f"the disk is full: {self._folder}")
        self._sizes[path] = before + len(record)
        if self._sizes[path] >= SEGMENT_BYTES:
            self._seal()

    def _seal(self) -> None:
        if self._open is not None:
            self._open.close()
            self._sealed.append(Path(self._open.name))
            self._open = None

    def _give_up(self, path: Path) -> None:
        newest: dict[tuple[object, ...], Event] = {_feed(event): event for event in self._dropped}
        events, _ = _read(path)
        newest.update((_feed(event), event) for event in events)
        self._dropped = list(newest.values())
        self._inherited = max(0, self._inherited - 1)
        metrics.SPOOL_DROPPED.inc(len(events))
        log.error("the spool is full, the oldest events are given up", events=len(events), folder=str(self._folder))
        self._remove(path)

    def _remove(self, path: Path) -> None:
        self._sizes.pop(path, None)
        with suppress(OSError):
            path.unlink()

    def _count(self) -> None:
        metrics.SPOOL_BYTES.set(sum(self._sizes.values()))


def _records(events: Sequence[Event]) -> bytes:
    parts = []
    for start in range(0, len(events), RECORD_EVENTS):
        payload = encode_events(events[start : start + RECORD_EVENTS])
        parts += [_HEADER.pack(len(payload), crc32(payload)), payload]
    return b"".join(parts)


def _feed(event: Event) -> tuple[object, ...]:
    return type(event), *(getattr(event, name, "") for name in ("exchange", "symbol", "timeframe"))


def _read(path: Path) -> tuple[list[Event], bool]:
    """Read a segment: its events, and whether some could not be read.

    What is damaged is counted, and ends it: where the next record begins is not known.
    """
    data = path.read_bytes()
    events: list[Event] = []
    damaged = False
    position = 0
    while position < len(data):
        start = position + _HEADER.size
        length, checksum = _HEADER.unpack_from(data, position) if start <= len(data) else (0, -1)
        payload = data[start : start + length]
        position = start + length
        if crc32(payload) != checksum:
            metrics.SPOOL_DAMAGED.inc()
            log.error("a spooled batch is damaged, what comes after it in this file is lost", file=str(path))
            return events, True
        try:
            events += decode_events(payload)
        except msgspec.DecodeError:
            damaged = True
            metrics.SPOOL_DAMAGED.inc()
            log.exception("a spooled batch cannot be read by this version", file=str(path))
    return events, damaged


def _own_folder(parent: Path) -> tuple[Path, IO[bytes]]:
    """Return the first folder that no other process uses, and the lock that keeps it so."""
    for number in range(_FOLDERS):
        folder = parent / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return folder, lock
    raise OSError(f"{_FOLDERS} processes spool below {parent} already; give this one a data_dir of its own")
