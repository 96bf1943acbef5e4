"""The daemon and the simulated exchange as processes, ended after each test."""

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import Marketd, Simulated, wait_until


@pytest.fixture
def marketd() -> Iterator[Marketd]:
    with tempfile.TemporaryDirectory(prefix="mdt-", ignore_cleanup_errors=True) as folder:
        instance = Marketd(Path(folder))
        yield instance
        if instance.process is not None and instance.process.poll() is None:
            instance.process.send_signal(signal.SIGTERM)
            try:
                instance.process.wait(15)
            except subprocess.TimeoutExpired:
                instance.process.kill()
        wait_until("the servers of the daemon have ended", lambda: not instance.children())


@pytest.fixture
def simulate() -> Iterator[Callable[..., Simulated]]:
    running: list[Simulated] = []

    def start(rate: int = 500, **options: Any) -> Simulated:
        running.append(Simulated(rate, **options))
        return running[-1]

    yield start
    for exchange in running:
        exchange.close()
