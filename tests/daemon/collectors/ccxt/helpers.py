"""ccxt's own Binance class, run by a CcxtCollector against the simulated exchange or a scripted one, over sockets."""

import asyncio
import json
from contextlib import asynccontextmanager
from random import Random

from aiohttp import WSMsgType, web

from bus.clock import MILLISECOND, SystemClock
from bus.leadership import Leadership
from daemon.collectors.ccxt.collector import CcxtCollector
from daemon.collectors.symbols import FeedSettings
from daemon.exchanges.base import Endpoints
from tests.daemon.collectors.helpers import ListeningBus

SPOT = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
EACH = SPOT | {"watchTrades": {"name": "trade"}}
"""Every trade is streamed, and no aggregates."""
SNAPSHOT = {"lastUpdateId": 100, "bids": [["50000.10", "1.500"]], "asks": [["50000.20", "2"]]}
TRADES, DEPTH = "btcusdt@trade", "btcusdt@depth@100ms"
BANNED = 418
MINUTE = 60_000
FOUR = ("trade", "ticker", "book", "candle")


def trade(number: int, price: str = "50000.10", amount: str = "0.00100") -> dict:
    return {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": price, "q": amount, "T": 1_000 + number, "m": False}


def depth(first: int, last: int, bids=(), asks=()) -> dict:
    return {"e": "depthUpdate", "E": last, "s": "BTCUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}


class Hasty(SystemClock):
    """A clock on which intervals pass quickly."""

    PACE = 50

    def monotonic(self) -> float:
        return super().monotonic() * self.PACE

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self.PACE)


class Scripted:
    """As much of Binance spot as ccxt needs to start; what it sends is up to the test."""

    def __init__(self) -> None:
        self.url = ""
        self.carriers: dict[str, web.WebSocketResponse] = {}
        """The connection on which each stream was subscribed to last."""
        self.subscribed: list[str] = []
        self.answers: dict[str, list[web.Response]] = {}
        """Answers by path that differ from the ordinary one."""
        self.requests: list[str] = []
        self.refuse = 0
        """The HTTP status with which connections are refused, a 418 for a quarter of an hour."""
        self.open = asyncio.Event()
        """Connections open while this is set, and wait otherwise."""
        self.open.set()
        self.waiting = 0
        self.connected = 0
        self.symbols = ["BTC/USDT", "ETH/USDT"]

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=self.refuse, headers={"Retry-After": "900"} if self.refuse == BANNED else {})
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connected += 1
        try:
            await self._converse(socket)
        finally:
            self.connected -= 1
        return socket

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                self.subscribed += [f"{asked['method'].lower()} {name}" for name in asked["params"]]
                self.carriers.update(dict.fromkeys(asked["params"], socket))
                await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))

    async def rest(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        if scripted := self.answers.get(request.path):
            return scripted.pop(0)
        if request.path.endswith("/exchangeInfo"):
            return web.json_response({"symbols": [_market(*symbol.split("/")) for symbol in self.symbols]})
        if request.path.endswith("/depth"):
            return web.json_response(SNAPSHOT)
        if request.path.endswith("/klines"):
            first, now = int(request.query["startTime"]), SystemClock().now() // MILLISECOND
            opens = range(-(-first // MINUTE) * MINUTE, now, MINUTE)
            return web.json_response([[when, "1.00", "2.0", "0.5", "1.50", "7"] for when in opens])
        return web.json_response([])

    async def send(self, stream: str, *messages: dict | str) -> None:
        for message in messages:
            await self.carriers[stream].send_str(message if isinstance(message, str) else json.dumps(message))


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


@asynccontextmanager
async def served(exchange):
    """Run an exchange with methods `rest` and `websocket` on a port of its own."""

    async def answer(request: web.Request) -> web.StreamResponse:
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        return await (exchange.websocket(request) if upgrade else exchange.rest(request))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    exchange.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield exchange
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(
    exchange, symbols=("BTC/USDT",), channels=FOUR, name="binance", options=EACH, clock=None, bus=None, at_close=()
):
    """Run a collector against an exchange; give it and its bus."""
    bus, clock = bus or ListeningBus(), clock or SystemClock()
    endpoints = Endpoints(exchange.url, exchange.url.replace("http", "ws", 1))
    settings = FeedSettings(symbols, channels, ("1m",), endpoints, at_close=at_close)
    leadership = Leadership("feeds", bus.lease("feeds"), clock)
    collector = CcxtCollector(name, settings, bus, leadership, clock, Random(1), options)
    task = asyncio.create_task(collector.run())
    try:
        yield collector, bus
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, within: float = 60.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
