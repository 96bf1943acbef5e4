"""HTTP over real sockets: metrics in both expositions, readiness with reasons, a port that is taken."""

import asyncio
import logging

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bus.errors import ConfigError
from daemon.http import HttpServer


@pytest.fixture
async def serve():
    servers = []

    async def serve(checks=None, listen="127.0.0.1:0"):
        registry = CollectorRegistry()
        Counter("marketd_things_total", "Things", registry=registry).inc(3)
        server = HttpServer(listen, checks or {}, registry)
        url = await server.start()
        servers.append(server)
        return url

    yield serve
    for server in servers:
        await server.close()


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield session


async def test_metrics_in_both_expositions(serve, client):
    url = await serve()
    async with client.get(f"{url}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        (family, *_) = parse_text(await response.text())
        assert family.samples[0].value == 3
    async with client.get(
        f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    ) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        (family, *_) = parse_openmetrics(await response.text())
        assert family.samples[0].value == 3


async def test_health(serve, client):
    async with client.get(f"{await serve()}/health") as response:
        assert response.status == 200


async def test_ready_follows_its_checks_and_says_what_is_not(serve, client):
    bus = [False, "cannot reach redis://:hunter2@h"]
    checks = {"bus": lambda: tuple(bus), "store": lambda: (True, "connected")}
    url = await serve(checks)
    async with client.get(f"{url}/ready") as response:
        assert response.status == 503
        assert await response.json() == {
            "ready": False,
            "checks": {
                "bus": {"ok": False, "detail": "cannot reach redis://:***@h"},
                "store": {"ok": True, "detail": "connected"},
            },
        }
    bus[:] = [True, "connected"]
    async with client.get(f"{url}/ready") as response:
        assert response.status == 200
    checks["roles"] = lambda: 1 / 0
    async with client.get(f"{url}/ready") as response:
        assert response.status == 503
        assert "ZeroDivisionError" in (await response.json())["checks"]["roles"]["detail"]


async def test_ipv6(serve, client):
    url = await serve(listen="[::1]:0")
    assert url.startswith("http://[::1]:")
    async with client.get(f"{url}/health") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("listen", "reason"),
    [("127.0.0.1:{port}", "the port is in use"), ("192.0.2.1:1", "this machine has no such address")],
)
async def test_an_address_that_cannot_be_had_is_one_sentence(serve, listen, reason):
    port = (await serve()).rpartition(":")[2]
    with pytest.raises(ConfigError) as caught:
        await serve(listen=listen.format(port=port))
    assert str(caught.value).startswith(f"http.listen = {listen.format(port=port)}: {reason}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x00\xa5\x01", b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n"]
)
async def test_what_is_no_request_is_refused_and_not_told_of(serve, caplog, garbage):
    host, port = (await serve()).removeprefix("http://").split(":")
    caplog.clear()
    caplog.set_level(logging.INFO)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(garbage + b"\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.0 400 ")
    writer.close()
    assert caplog.records == []
