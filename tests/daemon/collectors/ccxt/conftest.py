"""ccxt's own Binance class, run by a CcxtCollector against the simulated exchange or a scripted one, over sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from aiohttp import WSMsgType, web

from bus.clock import SystemClock
from bus.leadership import Leadership
from daemon.collectors.ccxt.collector import CcxtCollector
from daemon.collectors.symbols import FeedSettings
from daemon.exchanges.base import Endpoints
from daemon.simulator import Simulator
from tests.daemon.collectors.helpers import ListeningBus

SPOT = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
FOUR = ("trade", "ticker", "book", "candle")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(rate=2_000, seed=3) as running:
        yield running


def trade(number: int, price: str = "50000.10", amount: str = "0.00100") -> dict:
    return {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": price, "q": amount, "T": 1_000 + number, "m": False}


def depth(first: int, last: int, bids=(), asks=()) -> dict:
    return {"e": "depthUpdate", "E": last, "s": "BTCUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}


class Scripted:
    """As much of Binance spot as ccxt needs to start; what it sends is up to the test."""

    def __init__(self) -> None:
        self.url = ""
        self.sockets: list[web.WebSocketResponse] = []
        self.subscribed: list[str] = []
        self.answers: dict[str, list[web.Response]] = {}
        """Answers by path that differ from the ordinary one."""
        self.requests: list[str] = []
        self.refuse: int | None = None
        self.symbols = ["BTC/USDT", "ETH/USDT"]

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        if self.refuse is not None:
            return web.Response(status=self.refuse)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                self.subscribed += [f"{asked['method'].lower()} {name}" for name in asked["params"]]
                await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))
        return socket

    async def rest(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        if scripted := self.answers.get(request.path):
            return scripted.pop(0)
        if request.path.endswith("/exchangeInfo"):
            return web.json_response({"symbols": [_market(*symbol.split("/")) for symbol in self.symbols]})
        if request.path.endswith("/depth"):
            return web.json_response({"lastUpdateId": 100, "bids": [["50000.10", "1.500"]], "asks": [["50000.20", "2"]]})
        return web.json_response([])

    async def send(self, *messages: dict | str) -> None:
        for message in messages:
            await self.sockets[-1].send_str(message if isinstance(message, str) else json.dumps(message))


def _market(base: str, quote: str) -> dict:
    return {
        "symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote,
        "baseAssetPrecision": 8, "quotePrecision": 8, "isSpotTradingAllowed": True, "permissions": ["SPOT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
        ],
    }  # fmt: skip


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    exchange = Scripted()
    app = web.Application()
    app.router.add_get("/ws/{path:.*}", exchange.websocket)
    app.router.add_get("/{path:.*}", exchange.rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    exchange.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield exchange
    await runner.cleanup()


def collector_of(exchange, bus, symbols=("BTC/USDT",), channels=FOUR, name="binance") -> CcxtCollector:
    endpoints = Endpoints(exchange.url, exchange.url.replace("http", "ws", 1))
    settings = FeedSettings(symbols, channels, ("1m",), endpoints)
    clock = SystemClock()
    leadership = Leadership("feeds", bus.lease("feeds"), clock)
    return CcxtCollector(name, settings, bus, leadership, clock, Random(1), SPOT)


@asynccontextmanager
async def running(exchange, **wanted):
    bus = ListeningBus()
    collector = collector_of(exchange, bus, **wanted)
    task = asyncio.create_task(collector.run())
    try:
        yield collector, bus
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
