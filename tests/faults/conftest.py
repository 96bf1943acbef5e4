"""The daemon and the simulated exchange as processes, as in the end-to-end tests; or one for a whole file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import marketd, simulate
from tests.end_to_end.harness import wait_until
from tests.faults.running import Running, running_daemon
from tests.valkey import Server

__all__ = ["marketd", "simulate"]

SYMBOLS = '["BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT", "ETH/BTC"]'


@pytest.fixture
def server(server_dir: Path, bus_prefix: str) -> Iterator[Server]:
    """A Redis that the test may do anything to."""
    folder = server_dir / bus_prefix
    folder.mkdir()
    made = Server(folder)
    asyncio.run(made.start())
    yield made
    made.kill()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_daemon(rate=150, symbols=SYMBOLS) as made:
        count = "select count(distinct symbol) from trades"
        wait_until("all symbols are stored", lambda: made.rows(count)[0][0] == 6)
        yield made


@pytest.fixture(autouse=True)
def _well_again(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "running" in request.fixturenames:
        request.getfixturevalue("running").exchange.control("faults", "DELETE")
