"""A Valkey for benchmarks, with an append-only file as the daemon's own has."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.embedded import wheels


@contextmanager
def valkey() -> Iterator[str]:
    """Give the URL of a server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="mdb-") as folder:
        socket = Path(folder) / "v.sock"
        process = subprocess.Popen(
            [wheels.valkey_server(), "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "yes"],
            cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not socket.exists():
            time.sleep(0.01)
        yield f"unix://{socket}"
        process.kill()
        process.wait()
