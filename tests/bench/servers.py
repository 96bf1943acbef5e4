"""A Valkey for benchmarks, with an append-only file as the daemon's own has."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.embedded import wheels


@contextmanager
def valkey(port: int = 0) -> Iterator[str]:
    """Give the URL of a server that ends with the block: of its socket, or of a port for those that take no other."""
    with tempfile.TemporaryDirectory(prefix="mdb-") as folder:
        socket = Path(folder) / "v.sock"
        process = subprocess.Popen(
            [wheels.valkey_server(), "--port", str(port), "--unixsocket", socket, "--save", "", "--appendonly", "yes"],
            cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not socket.exists():
            time.sleep(0.01)
        try:
            yield f"redis://127.0.0.1:{port}" if port else f"unix://{socket}"
        finally:
            process.kill()
            process.wait()
