"""Each fault of the simulated exchange does what it says, seen from a socket; and is over when it is lifted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from daemon.simulator import Simulator

TRADES, BOOK = "btcusdt@trade", "btcusdt@depth@100ms"


async def post(http: aiohttp.ClientSession, path: str, value: Any) -> tuple[int, Any]:
    async with http.post(f"/control/{path}", json=value) as answer:
        return answer.status, await answer.json()


async def fault(http: aiohttp.ClientSession, kind: str, **arguments: Any) -> int:
    status, answer = await post(http, "faults", {"kind": kind, **arguments})
    assert status == 200, answer
    return answer["ids"][0]


async def told(http: aiohttp.ClientSession, number: int) -> dict[str, Any]:
    async with http.get("/control/faults") as answer:
        return next(each for each in await answer.json() if each["id"] == number)


@asynccontextmanager
async def listening(http: aiohttp.ClientSession, *streams: str) -> AsyncIterator[ClientWebSocketResponse]:
    async with http.ws_connect("/".join(["/ws", *streams]), autoping=False) as socket:
        yield socket


async def texts(socket: ClientWebSocketResponse, count: int) -> list[str]:
    """The next messages with data."""
    found: list[str] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            message = await socket.receive()
            assert message.type in (WSMsgType.TEXT, WSMsgType.PING), message
            if message.type is WSMsgType.TEXT:
                found.append(message.data)
    return found


async def until_silent(socket: ClientWebSocketResponse) -> None:
    """Raise TimeoutError when a ping has no answer."""
    while True:
        await socket.ping()
        await socket.receive(timeout=0.5)


async def ids(socket: ClientWebSocketResponse, count: int) -> list[int]:
    return [json.loads(text)["t"] for text in await texts(socket, count)]


def steps(numbers: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(numbers)]


async def test_dropped_messages_are_missing_and_counted(http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        number = await fault(http, "drop", symbol="BTC/USDT", channel="trade", every=4, count=5)
        seen = steps(await ids(socket, 60))
        assert seen.count(2) == 5
        assert set(seen) == {1, 2}
        assert (await told(http, number))["fired"] == 5


async def test_other_symbols_and_channels_are_left_alone(http: aiohttp.ClientSession):
    async with listening(http, "ethusdt@trade", BOOK) as socket:
        await fault(http, "drop", symbol="BTCUSDT", channel="trade")
        await texts(socket, 30)


async def test_duplicates_come_twice(http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        await fault(http, "duplicate", channel="trade", count=3)
        assert steps(await ids(socket, 40)).count(0) == 3


async def test_a_reordered_message_comes_after_the_next(http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        await fault(http, "reorder", channel="trade", every=10, count=2)
        seen = steps(await ids(socket, 60))
        assert seen.count(-1) == 2
        assert sum(seen) == len(seen)


async def test_something_else_comes_in_place_of_a_message(http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        await fault(http, "replace", symbol="BTC/USDT", channel="trade", every=3, count=1, text="ab", times=100_000)
        assert [text for text in await texts(socket, 10) if not text.startswith("{")] == ["ab" * 100_000]


@pytest.mark.parametrize("kind", ["corrupt", "truncate"])
async def test_spoilt_messages_are_no_json(http: aiohttp.ClientSession, kind: str):
    async with listening(http, TRADES) as socket:
        await fault(http, kind, channel="trade", every=3, count=4)
        spoilt = 0
        for text in await texts(socket, 60):
            try:
                json.loads(text)
            except ValueError:
                spoilt += 1
        assert spoilt == 4


async def test_slow_messages_come_late_and_in_order(simulator: Simulator, http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        await fault(http, "slow", channel="trade", delay=0.4, seconds=1.5)
        events = [json.loads(text) for text in await texts(socket, 200)]
        assert set(steps([event["t"] for event in events])) == {1}
        last = json.loads((await texts(socket, 1))[0])
        assert simulator.exchange.now - last["E"] >= 400


async def test_a_muted_subscription_is_silent_until_the_fault_is_lifted(http: aiohttp.ClientSession):
    async with listening(http, TRADES, "ethusdt@trade") as socket:
        number = await fault(http, "mute", symbol="BTC/USDT")
        await asyncio.sleep(0.1)
        await texts(socket, 50)  # what was under way
        assert all('"s":"ETHUSDT"' in text for text in await texts(socket, 50))
        async with http.delete(f"/control/faults/{number}") as answer:
            assert answer.status == 200
        async with asyncio.timeout(60):
            while '"s":"BTCUSDT"' not in (await texts(socket, 1))[0]:
                pass
        assert (await told(http, number))["state"] == "over"


async def test_a_skewed_clock_shows_in_the_messages(simulator: Simulator, http: aiohttp.ClientSession):
    async with listening(http, BOOK) as socket:
        await fault(http, "clock_skew", skew=-90, channel="book")
        await texts(socket, 1)
        event = json.loads((await texts(socket, 1))[0])
        assert simulator.exchange.now - event["E"] >= 90_000


async def test_a_broken_chain_is_one_id_missing(http: aiohttp.ClientSession):
    async with listening(http, BOOK) as socket:
        await fault(http, "broken_chain", every=3, count=2)
        updates = [json.loads(text) for text in await texts(socket, 12)]
        gaps = [later["U"] - earlier["u"] for earlier, later in pairwise(updates)]
        assert sorted(gaps) == [1] * 9 + [2] * 2


async def test_a_crossed_book_has_a_bid_above_its_best_ask(simulator: Simulator, http: aiohttp.ClientSession):
    simulator.exchange.paused = True
    await fault(http, "crossed_book", symbol="BTC/USDT", count=1)
    (tamper,) = simulator.exchange.streams.get(BOOK).tamperings
    (text,) = tamper('{"e":"depthUpdate","b":[["1.00000000","2.00000000"]],"a":[]}')
    async with http.get("/api/v3/depth?symbol=BTCUSDT&limit=5") as answer:
        ask = float((await answer.json())["asks"][0][0])
    wrong, kept = json.loads(text)["b"]
    assert float(wrong[0]) == pytest.approx(ask + 0.05)
    assert kept == ["1.00000000", "2.00000000"]
    assert tamper(text) == (text,)


async def test_the_sequence_of_a_book_starts_again(simulator: Simulator, http: aiohttp.ClientSession):
    async with listening(http, BOOK) as socket:
        before = json.loads((await texts(socket, 1))[0])["u"]
        await fault(http, "sequence_reset", symbol="BTC/USDT")
        async with asyncio.timeout(60):
            while (update := json.loads((await texts(socket, 1))[0]))["U"] > before:
                pass
        assert update["U"] == 2
        async with http.get("/api/v3/depth?symbol=BTCUSDT") as answer:
            assert (await answer.json())["lastUpdateId"] < before


@pytest.mark.parametrize(
    ("arguments", "code"), [({}, 1000), ({"clean": False}, 1006), ({"symbol": "BTC/USDT", "notice": 0.3}, 1000)]
)
async def test_connections_are_cut(http: aiohttp.ClientSession, arguments: dict[str, Any], code: int):
    async with listening(http, TRADES) as socket, listening(http, "ethusdt@trade") as other:
        await fault(http, "cut", **arguments)
        async with asyncio.timeout(60):
            said = [message.data async for message in socket]
        assert socket.close_code == code
        assert any("serverShutdown" in text for text in said[-500:]) == ("notice" in arguments)
        if "symbol" in arguments:
            await texts(other, 20)


async def test_a_half_open_connection_brings_nothing_not_even_a_pong(http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        await texts(socket, 1)
        await fault(http, "half_open")
        with pytest.raises(TimeoutError):
            await until_silent(socket)
        assert not socket.closed
    async with listening(http, TRADES) as socket:
        await texts(socket, 1)


async def test_new_connections_are_dropped_before_any_data(http: aiohttp.ClientSession):
    number = await fault(http, "accept_then_drop", hold=0.2)
    async with listening(http) as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": [TRADES], "id": 1})
        answers = [message.data async for message in socket]
        assert [json.loads(text) for text in answers] == [{"result": None, "id": 1}]
    assert (await told(http, number))["fired"] == 1


async def test_requests_are_refused_as_long_as_the_fault_lasts(http: aiohttp.ClientSession):
    number = await fault(http, "http", path="depth", status=418, seconds=30)
    async with http.get("/api/v3/depth?symbol=BTCUSDT") as answer:
        assert answer.status == 418
        assert 29 <= int(answer.headers["Retry-After"]) <= 31
    async with http.get("/api/v3/ping") as answer:
        assert answer.status == 200
    assert (await told(http, number))["fired"] == 1


async def test_a_refused_handshake_is_no_connection(http: aiohttp.ClientSession):
    await fault(http, "http", path="/ws", status=503)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/ws")
    assert refused.value.status == 503


async def test_answers_can_be_late(http: aiohttp.ClientSession):
    await fault(http, "http", delay=0.3)
    began = asyncio.get_running_loop().time()
    async with http.get("/api/v3/ping") as answer:
        assert answer.status == 200
    assert asyncio.get_running_loop().time() - began >= 0.3


async def test_lost_trades_can_not_be_had_again(http: aiohttp.ClientSession):
    async with listening(http, TRADES) as socket:
        seen = await ids(socket, 30)
    await fault(http, "lost_history", symbol="BTC/USDT", from_id=seen[5], to_id=seen[9])
    async with http.get(f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={seen[0]}&limit=30") as answer:
        assert [row["id"] for row in await answer.json()] == seen[:5] + seen[10:]
    async with http.get(f"/control/log?symbol=BTCUSDT&from_id={seen[0]}&limit=30") as answer:
        assert [row[0] for row in await answer.json()] == seen


async def test_a_delisted_symbol_is_silent_and_says_so(http: aiohttp.ClientSession):
    async def status() -> str:
        async with http.get("/api/v3/exchangeInfo?symbol=BTCUSDT") as answer:
            return (await answer.json())["symbols"][0]["status"]

    number = await fault(http, "delist", symbol="BTC/USDT")
    assert await status() == "BREAK"
    async with listening(http, TRADES, "ethusdt@trade") as socket:
        assert all('"s":"ETHUSDT"' in text for text in await texts(socket, 100))
        async with http.delete(f"/control/faults/{number}"):
            pass
        assert await status() == "TRADING"


async def test_faults_begin_and_end_in_their_time(http: aiohttp.ClientSession):
    number = await fault(http, "drop", channel="trade", after=0.4, seconds=0.4)
    assert (await told(http, number))["state"] == "waiting"
    for state in ("active", "over"):
        async with asyncio.timeout(60):
            while (await told(http, number))["state"] != state:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"kind": "dorp"}, "kind 'dorp' is not known; did you mean drop?"),
        ({"kind": "drop", "probabilty": 1}, "probabilty is not known here; did you mean probability?"),
        ({"kind": "drop", "symbol": "BTC/UST"}, "symbol BTC/UST is not traded here; did you mean BTCUSDT?"),
        ({"kind": "drop", "probability": 7}, "probability = 7"),
        ({"kind": "cut", "seconds": 5}, "seconds is not known here"),
        ({"kind": "delist"}, "symbol is missing"),
        ([{"kind": "drop"}, 7], "a fault is an object such as"),
        ("drop", "a fault is an object such as"),
    ],
)
async def test_a_wrong_fault_is_answered_with_what_is_wrong(http: aiohttp.ClientSession, value: Any, says: str):
    status, answer = await post(http, "faults", value)
    assert status == 400
    assert says in answer["error"]
    async with http.get("/control/faults") as listed:
        assert await listed.json() == []


async def test_chaos_is_the_same_for_the_same_seed(http: aiohttp.ClientSession):
    async def planned(**arguments: Any) -> list[Any]:
        status, answer = await post(http, "chaos", {"seconds": 300, "per_minute": 60, **arguments})
        assert status == 200, answer
        async with http.get("/control/faults") as listed:
            faults = [
                {k: v for k, v in each.items() if k not in {"id", "fired", "state"}} for each in await listed.json()
            ]
        async with http.delete("/control/faults"):
            return faults

    one = await planned(seed=4)
    assert one == await planned(seed=4)
    assert one != await planned(seed=5)
    assert {each["kind"] for each in one} >= {"drop", "mute", "http", "cut"}
    spared = await planned(seed=4, spare=["BTC/USDT"])
    assert all(each.get("symbol") != "BTCUSDT" and each["kind"] != "cut" for each in spared)
    status, answer = await post(http, "chaos", {"sed": 1})
    assert (status, answer["error"]) == (400, "sed is not known here; did you mean seed?")


async def test_faults_that_strike_the_same_message_do_not_stop_the_exchange(http: aiohttp.ClientSession):
    async with listening(http, BOOK) as socket:
        await fault(http, "replace", text="", symbol="BTC/USDT", channel="book", every=5)
        for kind in ("truncate", "corrupt", "crossed_book", "broken_chain", "clock_skew", "truncate", "crossed_book"):
            await fault(http, kind, symbol="BTC/USDT", channel="book")
        assert len(await texts(socket, 15)) == 15
