"""Real servers for tests: one Valkey and one PostgreSQL a session, a fresh prefix and database a test."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from daemon.embedded.servers import EmbeddedServers
from tests.cluster import Cluster
from tests.migrations.servers import fresh_database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of the whole daemon: they take longest, and each file stays with one process."""
    items.sort(key=lambda item: item.path.parent.name not in {"faults", "end_to_end"})


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A short path for tests with servers of their own: unix socket paths are limited to about 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="mdt-") as path:
        yield Path(path)


@contextmanager
def _embedded(path: Path, **wanted: bool) -> Iterator[EmbeddedServers]:
    """The daemon's own embedded servers, for as long as the session lasts."""
    servers = EmbeddedServers(path, **{"valkey": False, "postgres": False, **wanted})
    with asyncio.Runner() as runner:
        runner.run(servers.__aenter__())
        try:
            yield servers
        finally:
            runner.run(servers.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _embedded(tmp_path_factory.mktemp("valkey"), valkey=True) as servers:
        assert servers.redis_url is not None
        yield servers.redis_url


@pytest.fixture(scope="session")
def cluster_url(server_dir: Path) -> Iterator[str]:
    """Three masters of a Redis Cluster without replicas."""
    cluster = Cluster(server_dir / "cluster")
    try:
        asyncio.run(cluster.start())
        yield cluster.url
    finally:
        cluster.stop()


@pytest.fixture(params=["valkey_url", "cluster_url"], ids=["one server", "cluster"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """For what must be the same on one server and on a cluster."""
    return str(request.getfixturevalue(request.param))


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
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded server, or the one that MARKETD_TEST_POSTGRES names: a superuser's DSN of a database `marketd`."""
    if given := os.environ.get("MARKETD_TEST_POSTGRES"):
        yield given
        return
    with _embedded(tmp_path_factory.mktemp("postgres"), postgres=True) as servers:
        assert servers.dsn is not None
        yield servers.dsn


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of an empty database of its own for each test."""
    async with fresh_database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recorded frames; tests that need it say that they skip where it is not set."""
    folder = os.environ.get("MARKETD_RECORDINGS")
    if not folder:
        pytest.skip("MARKETD_RECORDINGS is not set: no recorded frames to test with")
    return Path(folder)
