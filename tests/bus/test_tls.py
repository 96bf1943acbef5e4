"""The bus and its client over TLS, with users: one server and a cluster, and what is wrong with a certificate."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from bus.client import Client
from bus.errors import BusUnavailable
from bus.redis import RedisBus
from tests.bus.helpers import TRADES, read_numbers, trade, trades
from tests.cluster import Cluster
from tests.tls import Certificates, relay
from tests.valkey import Server, with_passwords


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def guarded(server_dir: Path, bus_prefix: str):
    """A server with the users that are shipped."""
    server = Server(server_dir / bus_prefix)
    server.folder.mkdir()
    (server.folder / "users.acl").write_text(with_passwords())
    await server.start("--aclfile", "users.acl")
    yield server.folder / "v.sock"
    server.kill()


async def carries_events(url: str, subscriber: str, prefix: str = "md") -> None:
    """What is published comes to a group and to another program."""
    bus = await RedisBus.open(url, prefix=prefix)
    consumer = await bus.consumer(TRADES)
    await bus.publish([*trades(0, 2_000), *(trade(number, "okx") for number in range(2_000, 2_010))])
    assert sorted(await read_numbers(consumer, 2_010)) == list(range(2_010))
    await consumer.close()
    async with (
        asyncio.timeout(10),
        Client(subscriber, prefix=prefix) as client,
        aclosing(client.subscribe(exchange="binance", channel="trade", since=0)) as events,
    ):
        assert [(await anext(events)).id for _ in range(2_000)] == [str(number) for number in range(2_000)]
    await bus.close()


async def test_one_server_with_users(guarded: Path, certificates: Certificates):
    async with relay(certificates.server("127.0.0.1"), guarded) as port:
        url = f"rediss://USER:USER@127.0.0.1:{port}?ssl_ca_certs={certificates.authority}"
        await carries_events(url.replace("USER", "marketd"), url.replace("USER", "subscriber"))


async def test_a_cluster_with_users(server_dir: Path, bus_prefix: str, certificates: Certificates):
    users = server_dir / f"{bus_prefix}.acl"
    users.write_text(with_passwords())
    cluster = Cluster(server_dir / bus_prefix, options=("--aclfile", str(users)), password="default")
    try:
        async with AsyncExitStack() as stack:
            for node in cluster.nodes:
                context = certificates.server("127.0.0.1")
                node.front = await stack.enter_async_context(relay(context, node.port))
            await cluster.start()
            hosts = ",".join(f"127.0.0.1:{node.front}" for node in cluster.nodes)
            url = f"rediss+cluster://USER:USER@{hosts}?ssl_ca_certs={certificates.authority}"
            await carries_events(url.replace("USER", "marketd"), url.replace("USER", "subscriber"))
    finally:
        cluster.stop()


async def test_a_server_that_wants_a_certificate_of_ours(guarded: Path, certificates: Certificates):
    async with relay(certificates.server("127.0.0.1", clients=True), guarded) as port:
        url = f"rediss://marketd:marketd@127.0.0.1:{port}?ssl_ca_certs={certificates.authority}"
        with pytest.raises(BusUnavailable):
            await RedisBus.open(url)
        bus = await RedisBus.open(f"{url}&ssl_certfile={certificates.client}&ssl_keyfile={certificates.client}")
        await bus.close()


@pytest.mark.parametrize(("host", "option"), [("127.0.0.1", ""), ("elsewhere.example", "?ssl_ca_certs={}")])
async def test_whom_we_do_not_trust_learns_no_password(
    guarded: Path, certificates: Certificates, host: str, option: str
):
    async with relay(certificates.server(host), guarded) as port:
        url = f"rediss://marketd:secret@127.0.0.1:{port}{option.format(certificates.authority)}"
        with pytest.raises(BusUnavailable, match="certificate verify failed") as raised:
            await RedisBus.open(url)
        assert "secret" not in str(raised.value)
