"""Writes a recording so that what was flushed can be read back even after a kill."""

import gzip
import zlib
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from bus.errors import UsageError
from daemon.recording.reader import VERSION, Header, Line

FLUSH_BYTES: Final = 256 * 1024
"""Text that is held back at most; more is flushed without being asked."""


class RecordingWriter:
    """A new recording file. Raises UsageError when the file exists or cannot be written."""

    def __init__(self, path: Path, exchange: str, origin: str = "marketd record") -> None:
        self.path = path
        try:
            self._raw = path.open("xb")
        except FileExistsError as error:
            raise UsageError(f"{path} exists already; name another file for the recording") from error
        except OSError as error:
            raise UsageError(f"cannot write the recording {path}: {error.strerror}") from error
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, compresslevel=6)
        self._held = 0
        self.messages = 0
        """How many have been appended."""
        self._put(Header(VERSION, exchange, origin))
        self.flush()

    def write(self, t: int, kind: Literal["ws", "rest"], url: str, text: str) -> None:
        """Append one message: local receive time (ns), kind, URL (without secrets) and the text as received."""
        self._put(Line(t, kind, url, text))
        self.messages += 1
        if self._held >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Bring everything written so far to the file: a reader gets it even if this process is killed."""
        self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._raw.flush()
        self._held = 0

    def close(self) -> None:
        """Finish the file."""
        self._gzip.close()
        self._raw.close()

    def discard(self) -> None:
        """Remove a finished file that is good for nothing."""
        self.path.unlink()

    def _put(self, value: Header | Line) -> None:
        line = msgspec.json.encode(value) + b"\n"
        self._gzip.write(line)
        self._held += len(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
