"""A Valkey of its own for tests that stop it, fill it or change its configuration."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.valkey import Server


@pytest.fixture
async def server(server_dir: Path, bus_prefix: str) -> AsyncIterator[Server]:
    folder = server_dir / bus_prefix
    folder.mkdir()
    made = Server(folder)
    await made.start()
    yield made
    made.kill()
