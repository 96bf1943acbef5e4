"""Files that are whole or not there: written beside their place, made durable, then moved into it."""

import asyncio
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from bus.errors import MarketdError, UsageError

_BLOCK: Final = 1024 * 1024
_OF_THE_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@asynccontextmanager
async def whole_file(path: Path) -> AsyncIterator[BinaryIO]:
    """Give a file that takes its place when the block ends well, and disappears otherwise.

    Raises UsageError where it cannot be written, MarketdError when another process is writing it.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # readable for its owner alone: a backup holds the configuration
        file = os.fdopen(os.open(unfinished, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MarketdError(f"another process is writing {path}") from None
        try:
            file.truncate()
            yield file
            await asyncio.to_thread(_settle, file, unfinished, path)
        except BaseException as error:
            with suppress(OSError):
                unfinished.unlink()
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise MarketdError(f"cannot write {path}: {error.strerror}") from error
            raise


async def replace(path: Path, content: bytes) -> None:
    """Write a small file, whole or not at all. Raises as `whole_file`."""
    async with whole_file(path) as file:
        file.write(content)


async def sha256(path: Path) -> str | None:
    """Return a file's checksum, None where there is no such file."""
    try:
        with path.open("rb") as file:
            return await asyncio.to_thread(_sha256, file)
    except FileNotFoundError:
        return None


async def measure(file: BinaryIO) -> tuple[int, str]:
    """Return how many bytes an unfinished file has, and its checksum."""
    file.flush()
    file.seek(0)
    checksum = await asyncio.to_thread(_sha256, file)
    return file.tell(), checksum


def folder_of(symbol: str) -> str:
    """Return a symbol as a folder's name, different for each: BTC/USDT is BTC-USDT, BTC/USDT:USDT is BTC-USDT_USDT."""
    plain = quote(symbol, safe="/:-").replace("_", "%5F")
    base, slash, rest = plain.partition("/")
    return base.replace("-", "%2D").replace(":", "%3A") + slash.replace("/", "-") + _rest(rest)


def _rest(rest: str) -> str:
    quoted, colon, settle = rest.partition(":")
    # behind the colon a hyphen can only be that of an expiry
    tail = settle.replace("/", "%2F").replace(":", "%3A")
    return quoted.replace("-", "%2D").replace("/", "%2F") + colon.replace(":", "_") + tail


def _settle(file: BinaryIO, unfinished: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
