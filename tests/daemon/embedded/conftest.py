"""Folders and helper daemons for the tests of the embedded servers."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.embedded.servers import EmbeddedServers

ROOT = Path(__file__).parents[3]
NOBODY = 65534

DAEMON = """
import asyncio, json, os, sys
from pathlib import Path
from daemon.embedded.servers import EmbeddedServers

async def main():
    async with EmbeddedServers(Path(sys.argv[1]), valkey=True, postgres=True) as servers:
        print(json.dumps({"redis_url": servers.redis_url, "dsn": servers.dsn, "pids": servers.pids}), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def environment() -> dict[str, str]:
    """Ours, with this checkout importable from anywhere."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


class HelperDaemon:
    """Another process that embeds the servers; it ends when its standard input does."""

    def __init__(self, data_dir: Path, **identity: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, data_dir],
            cwd="/", env=environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **identity,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said, self.process.communicate()[1]
        self.says: dict[str, Any] = json.loads(said)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)

    def stop(self) -> int:
        self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.fixture
def helper_daemon() -> Iterator[Callable[..., HelperDaemon]]:
    started: list[HelperDaemon] = []

    def start(data_dir: Path, **identity: Any) -> HelperDaemon:
        started.append(HelperDaemon(data_dir, **identity))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.returncode is None:
            daemon.stop()


@pytest.fixture(scope="session")
def made_before(tmp_path_factory) -> Path:
    """A data directory that a daemon has used and left: making a PostgreSQL cluster is what takes the time."""
    path = tmp_path_factory.mktemp("made") / "data"

    async def use() -> None:
        async with EmbeddedServers(path, valkey=False, postgres=True):
            pass

    asyncio.run(use())
    return path


@pytest.fixture
def data_dir(made_before: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own that was in use before."""
    path = tmp_path / "data"
    subprocess.run(["cp", "-a", made_before, path], check=True)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="mdt-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """The test runs as somebody who is not root, whoever started it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
