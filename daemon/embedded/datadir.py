"""One data directory belongs to one daemon: private, locked for its life, and reachable by short socket paths."""

import errno
import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bus.errors import ConfigError

FREE_BYTES = 300 * 1024 * 1024
"""What a new PostgreSQL cluster, its first write-ahead log and Valkey's first append-only file need."""

_SOCKET_PATH_BYTES = 107
"""The longest path in a unix socket address: https://man7.org/linux/man-pages/man7/unix.7.html, sun_path."""
_LONGEST_SOCKET_NAME = ".s.PGSQL.65535"
_LOCK_SECONDS = 0.5
"""`marketd env` looks at the lock for an instant; a starting daemon must not take that for another daemon."""


class DataDirectory:
    """The locked data directory of this process.

    Opening it raises ConfigError when another daemon has it, when it belongs to somebody else, when it cannot be
    written, or when its disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._descriptors: list[int] = []
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            with refusals_as_sentences(self.path):
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_owner(self.path)
                self._lock()
                _check_space(self.path)
        except ConfigError:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was made outside the data directory and give the lock back."""
        for path in self._made:
            shutil.rmtree(path, ignore_errors=True)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._made, self._descriptors = [], []

    def folder(self, name: str) -> Path:
        """Return a private folder in the data directory."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def reach(self, folder: Path) -> Path:
        """Return a path to `folder` that is short enough for a socket in it: the folder's own, or a short alias.

        Servers bind relative to their working directory, so only clients need this.
        """
        if _fits(folder):
            return folder
        alias = self.runtime_folder("", 0o700, [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"])  # noqa: S108 # private: see runtime_folder
        link = alias / folder.name
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        return link

    def runtime_folder(self, suffix: str, mode: int, parents: list[str]) -> Path:
        """Return a folder of ours outside the data directory, removed by `close`, under the first parent that will do.

        Its name is known beforehand, so whatever stands there and is not a folder of this user alone is refused.
        Raises ConfigError when there is no usable one.
        """
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        tried = []
        for parent in filter(os.path.isdir, parents):
            path = Path(parent) / f"marketd-{os.geteuid()}-{digest}{suffix}"
            if path in self._made:
                return path
            tried.append(str(path))
            if not _fits(path / "postgres"):
                continue
            try:
                self._descriptors.append(_claim(path, mode))
            except OSError:
                continue
            self._made.append(path)
            return path
        raise ConfigError(
            f"None of {', '.join(tried)} can be made a private folder of {_user(os.geteuid())}: remove what stands "
            "there, point TMPDIR to a short folder of yours, or set data_dir to a shorter path."
        )

    def _lock(self) -> None:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._descriptors.append(descriptor)
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise ConfigError(
                    f"Another marketd (pid {pid}) uses the data directory {self.path}: stop it, set data_dir to "
                    "another folder, or set bus.url and store.dsn to the two URLs that `marketd env` prints."
                )
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


@contextmanager
def refusals_as_sentences(path: Path) -> Iterator[None]:
    """Turn what the system refuses in the data directory into a ConfigError that says what to do."""
    try:
        yield
    except OSError as error:
        raise _refusal(path, error) from error


def is_locked(path: Path) -> bool:
    """Return whether a running daemon holds this data directory."""
    try:
        descriptor = os.open(path.expanduser() / "lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _LONGEST_SOCKET_NAME)) <= _SOCKET_PATH_BYTES


def _claim(path: Path, mode: int) -> int:
    """Make or take over a folder that is this user's alone; the descriptor keeps age-based cleaners away by a lock.

    https://www.freedesktop.org/software/systemd/man/latest/tmpfiles.d.html: locked folders are left alone.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to somebody else", str(path))
        os.fchmod(descriptor, mode)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_owner(path: Path) -> None:
    info = path.stat()
    if info.st_uid != os.geteuid():
        raise ConfigError(
            f"The data directory {path} belongs to {_user(info.st_uid)}, and marketd runs as {_user(os.geteuid())}: "
            "start marketd as that user, or set data_dir to another folder."
        )
    if info.st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"Everybody may write into the data directory {path}: take that right away (chmod o-w), "
            "or set data_dir to a folder of its own."
        )


def _check_space(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < FREE_BYTES:
        raise ConfigError(
            f"Only {free >> 20} MiB are free on the disk of {path}, and the embedded servers need at least "
            f"{FREE_BYTES >> 20} MiB: free some space, or set data_dir to a folder on another disk."
        )


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _refusal(path: Path, error: OSError) -> ConfigError:
    """Return the sentence for what the system answered when the data directory was touched."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return ConfigError(
                f"The disk of {error.filename or path} is full: free some space, or set data_dir to a folder on "
                "another disk."
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ConfigError(
                f"{_user(os.geteuid()).capitalize()} cannot write to {error.filename or path} ({error.strerror}): give "
                f"that user the folder {path}, or set data_dir to a folder that it can write to."
            )
        case _:
            return ConfigError(
                f"{path} cannot be the data directory ({error.strerror}): set data_dir to another folder."
            )
