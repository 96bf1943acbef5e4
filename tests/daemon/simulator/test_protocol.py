"""The protocol as Binance documents it, over real sockets: REST, streams, limits, errors."""

import asyncio
import json
from contextlib import suppress
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from socket import socket as Socket  # noqa: N812 # it makes one
from typing import Any

import aiohttp
import pytest

from daemon.simulator import Simulator

INVALID = "Invalid symbol."


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, Any, Any]:
    async with http.get(f"/api/v3/{path}") as answer:
        return answer.status, await answer.json(), answer.headers


async def settled(simulator: Simulator, trades: int = 300) -> None:
    """Let trades happen, then stop the flow so that answers can be compared."""
    market = simulator.exchange.markets["BTCUSDT"]
    async with asyncio.timeout(60):
        while market.trades.next - market.trades.first < trades:
            await asyncio.sleep(0.01)
    simulator.exchange.paused = True


async def test_the_list_of_symbols_has_what_clients_need(http: aiohttp.ClientSession):
    _, info, _ = await get(http, "exchangeInfo")
    assert {symbol["symbol"] for symbol in info["symbols"]} >= {"BTCUSDT", "ETHUSDT"}
    _, one, _ = await get(http, "exchangeInfo?symbol=BTCUSDT")
    assert [symbol["symbol"] for symbol in one["symbols"]] == ["BTCUSDT"]
    _, two, _ = await get(http, 'exchangeInfo?symbols=["BTCUSDT","ETHUSDT"]')
    assert len(two["symbols"]) == 2


async def test_trades_by_id_time_and_recency_agree_with_the_log(simulator: Simulator, http: aiohttp.ClientSession):
    await settled(simulator)
    async with http.get("/control/log?symbol=BTCUSDT") as answer:
        log = await answer.json()
    _, recent, _ = await get(http, "trades?symbol=BTCUSDT&limit=100")
    assert [t["id"] for t in recent] == [row[0] for row in log[-100:]]
    _, old, _ = await get(http, f"historicalTrades?symbol=BTCUSDT&fromId={log[10][0]}&limit=50")
    assert [[t["id"], t["price"], t["qty"], t["time"], t["isBuyerMaker"]] for t in old] == log[10:60]
    _, aggregates, _ = await get(
        http, f"aggTrades?symbol=BTCUSDT&startTime={log[0][3]}&endTime={log[-1][3]}&limit=1000"
    )
    assert aggregates[0]["f"] == log[0][0]
    assert aggregates[-1]["l"] == log[-1][0]
    _, day, _ = await get(http, "ticker/24hr?symbol=BTCUSDT")
    assert (day["count"], day["lastId"], day["lastPrice"]) == (len(log), log[-1][0], log[-1][1])
    _, rows, _ = await get(http, "klines?symbol=BTCUSDT&interval=1s&limit=1000")
    assert sum(row[8] for row in rows) == len(log)
    _, book, _ = await get(http, "depth?symbol=BTCUSDT&limit=5")
    _, best, _ = await get(http, "ticker/bookTicker?symbol=BTCUSDT")
    assert [best["bidPrice"], best["bidQty"]] == book["bids"][0]
    assert [best["askPrice"], best["askQty"]] == book["asks"][0]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("depth", -1102),
        ("depth?symbol=NOPE", -1121),
        ("depth?symbol=btc usdt", -1100),
        ("trades?symbol=BTCUSDT&limit=abc", -1100),
        ("trades?symbol=BTCUSDT&limit=0", -1130),
        ("klines?symbol=BTCUSDT", -1102),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("exchangeInfo?symbols=BTCUSDT", -1100),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1", -1128),
    ],
)
async def test_wrong_requests_get_binances_errors(http: aiohttp.ClientSession, path: str, code: int):
    status, body, _ = await get(http, path)
    assert (status, body["code"]) == (400, code)


async def test_weight_is_counted_then_429_then_418():
    async with Simulator(weight_per_minute=100) as simulator, aiohttp.ClientSession(simulator.url) as http:
        _, _, headers = await get(http, "depth?symbol=BTCUSDT&limit=1000")
        assert headers["x-mbx-used-weight-1m"] == "50"
        assert (await get(http, "depth?symbol=BTCUSDT&limit=1000"))[0] == 200
        status, body, headers = await get(http, "ping")
        assert (status, body["code"]) == (429, -1003)
        assert int(headers["Retry-After"]) >= 1
        for _ in range(11):
            status, _, headers = await get(http, "ping")
        assert status == 418
        assert int(headers["Retry-After"]) > 60


async def test_raw_and_combined_streams_and_their_management(http: aiohttp.ClientSession):
    async with http.ws_connect("/ws/btcusdt@trade") as raw, http.ws_connect("/stream?streams=btcusdt@trade") as both:
        assert (await raw.receive_json())["e"] == "trade"
        message = await both.receive_json()
        assert message["stream"] == "btcusdt@trade"
        assert message["data"]["e"] == "trade"
    async with http.ws_connect("/ws") as socket:

        async def ask(**request: Any) -> Any:
            await socket.send_json(request)
            while True:
                answer = await socket.receive_json()
                if "id" in answer:
                    return answer

        assert await ask(method="SUBSCRIBE", params=["ethusdt@bookTicker", "ethusdt@nonsense"], id=1) == {
            "result": None, "id": 1,
        }  # fmt: skip
        assert (await ask(method="LIST_SUBSCRIPTIONS", id=2))["result"] == ["ethusdt@bookTicker"]
        assert (await socket.receive_json())["s"] == "ETHUSDT"
        assert (await ask(method="UNSUBSCRIBE", params=["ethusdt@bookTicker"], id="x"))["id"] == "x"
        assert (await ask(method="LIST_SUBSCRIPTIONS", id=3))["result"] == []
        await asyncio.sleep(1.1)  # five messages a second are allowed
        assert (await ask(method="DANCE", id=4))["error"]["code"] == 2
        await socket.send_str("{")
        assert (await socket.receive_json())["error"]["code"] == 3


async def test_too_many_messages_end_the_connection(http: aiohttp.ClientSession):
    async with http.ws_connect("/ws") as socket:
        for number in range(10):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        async with asyncio.timeout(60):
            async for _ in socket:
                pass
        assert socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_a_connection_ends_after_its_day():
    async with (
        Simulator(lifetime=0.3) as simulator,
        aiohttp.ClientSession(simulator.url) as http,
        http.ws_connect("/ws/btcusdt@trade") as socket,
    ):
        async with asyncio.timeout(60):
            async for _ in socket:
                pass
        assert socket.closed


async def test_a_client_that_does_not_read_is_disconnected_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("daemon.simulator.streams.SLOWEST", 20_000)
    async with Simulator(rate=20_000) as simulator:
        narrow = Socket()
        narrow.setsockopt(SOL_SOCKET, SO_RCVBUF, 4_096)
        narrow.connect(("127.0.0.1", simulator.port))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1_024)
        writer.write(
            b"GET /ws/btcusdt@bookTicker/btcusdt@trade/ethusdt@bookTicker HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        (client,) = simulator.exchange.streams.clients
        client._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, 4_096)
        async with asyncio.timeout(60):  # the kernel takes some before anything waits
            while not any(client.too_slow for client in simulator.exchange.streams.clients):
                await asyncio.sleep(0.02)
        async with aiohttp.ClientSession(simulator.url) as http, http.ws_connect("/ws/btcusdt@trade") as socket:
            assert (await socket.receive_json())["e"] == "trade"
        async with asyncio.timeout(60):
            while simulator.exchange.streams.clients:
                await asyncio.sleep(0.02)
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_old_trades_go_and_a_million_stays_by_default():
    async with Simulator(rate=50_000, kept=2_000) as simulator:
        market = simulator.exchange.markets["BTCUSDT"]
        first = market.trades.first
        async with asyncio.timeout(60):
            while market.trades.first == first:
                await asyncio.sleep(0.01)
        assert 2_000 <= market.trades.next - market.trades.first <= 2_600
        assert market.trades.get_aggregate(market.trades.first_aggregate).first >= market.trades.first
    assert Simulator().exchange.markets["BTCUSDT"].trades._kept == 1_000_000


async def test_a_second_run_never_repeats_an_id():
    async with Simulator(rate=50_000) as first:
        await settled(first)
        used = first.exchange.markets["BTCUSDT"].trades.next
    async with Simulator(rate=50_000) as second:
        assert second.exchange.markets["BTCUSDT"].trades.first >= used


async def test_the_control_endpoint_pauses_and_disconnects(simulator: Simulator, http: aiohttp.ClientSession):
    async with http.ws_connect("/ws/btcusdt@trade") as socket:
        await socket.receive()
        async with http.post("/control/disconnect") as answer:
            assert await answer.json() == 1
        async with asyncio.timeout(60):
            async for _ in socket:
                pass
    async with http.post("/control/pause"):
        pass
    events = simulator.exchange.events
    await asyncio.sleep(0.1)
    assert simulator.exchange.events == events
    async with http.post("/control/rate?value=77"):
        assert simulator.exchange.rate == 77
    async with http.get("/control/state") as answer:
        assert json.loads(await answer.text())["paused"] is True


async def test_the_control_endpoint_counts_what_each_stream_has_sent(simulator: Simulator, http: aiohttp.ClientSession):
    heard = 0
    async with http.ws_connect("/ws/btcusdt@aggTrade") as socket:
        await socket.receive()
        async with http.post("/control/pause"):
            pass
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})  # answered behind all that was sent
        while "result" not in await socket.receive_json():
            heard += 1
    async with http.get("/control/state") as answer:
        assert json.loads(await answer.text())["sent"] == {"btcusdt@aggTrade": heard + 1}
