"""Reads a recording line by line, and says exactly what is wrong with one that is damaged."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from bus.errors import UsageError

VERSION: Final = 1
MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes; the longest real lines, lists of all instruments, have about 15 MB."""


class Header(msgspec.Struct, frozen=True):
    """The first line: `{"recording":1,"exchange":"binance","origin":"…"}`."""

    recording: int
    exchange: str
    origin: str = ""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One message: `t` local receive time (ns), `k` kind, `u` URL, `d` the text exactly as received."""

    t: int
    k: Literal["ws", "rest"]
    u: str
    d: str


_header = msgspec.json.Decoder(Header)
_line = msgspec.json.Decoder(Line)


class Recording:
    """A gzipped JSON Lines file. Iterating yields its lines; memory holds one at a time.

    Raises UsageError naming the line for a file that is no recording, or is damaged; lines before the damage have
    been yielded by then. A recorder that was killed leaves such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with gzip.open(path) as file:
                text = self._read(file, 1)
            self.header = _header.decode(text)
        except OSError as error:
            raise UsageError(f"cannot read the recording {path}: {error.strerror or error}") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise UsageError(f"{path} is no recording: line 1 should be its header, but {error}") from error
        if self.header.recording != VERSION:
            raise UsageError(
                f"{path} has recording version {self.header.recording}; this marketd reads version {VERSION}"
            )

    def __iter__(self) -> Iterator[Line]:
        with gzip.open(self.path) as file:
            self._read(file, 1)
            number = 2
            while text := self._read(file, number):
                yield self._decode(text, number)
                number += 1

    def _read(self, file: gzip.GzipFile, number: int) -> bytes:
        """Return the next line, empty at the end."""
        try:
            text = file.readline(MAX_LINE)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UsageError(f"{self.path} is cut off or damaged at line {number}: {error}") from error
        if len(text) == MAX_LINE:
            raise UsageError(f"{self.path} line {number} is longer than {MAX_LINE} bytes")
        return text

    def _decode(self, text: bytes, number: int) -> Line:
        try:
            return _line.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UsageError(f"{self.path} line {number} is no recorded message: {error}") from error
