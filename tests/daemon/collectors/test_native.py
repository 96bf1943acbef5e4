"""Native translators in a whole collector, against a server that speaks the exchange's own protocol."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from bus.clock import ManualClock
from bus.events import Book, Candle, Trade
from bus.leadership import Leadership
from daemon.collectors.exchange import ExchangeCollector, FeedSettings
from daemon.exchanges import load
from daemon.exchanges.base import Endpoints
from tests.daemon.collectors.helpers import Highest, ListeningBus, Stage
from tests.daemon.exchanges import coinbase_payloads, kraken_payloads


class CoinbaseVenue:
    """Coinbase's public protocol: every message of the connection is counted."""

    ping = '{"type":"subscribe","channel":"heartbeats"}'

    def __init__(self) -> None:
        self.number = -1

    def next(self) -> int:
        self.number += 1
        return self.number

    def answer(self, request: web.Request) -> dict:
        if request.path.endswith("/candles"):
            return {"candles": [coinbase_payloads.bar(int(request.query["start"]) + 120)]}
        return {"products": coinbase_payloads.PRODUCTS}

    def wants_book(self, message: dict) -> bool:
        return message["type"] == "subscribe" and message["channel"] == "level2"

    def ends_book(self, message: dict) -> bool:
        return message["type"] == "unsubscribe" and message["channel"] == "level2"

    def snapshot(self) -> bytes:
        return coinbase_payloads.book(self.next(), kind="snapshot")

    def update(self) -> bytes:
        return coinbase_payloads.book(self.next())

    def broken_update(self) -> bytes:
        self.next()
        return self.update()

    def trade(self) -> bytes:
        return coinbase_payloads.trades(self.next())


class KrakenVenue:
    """Kraken's public protocol: every update has the checksum of the book."""

    ping = '{"method":"ping"}'
    bids = (("5.1", "2"), ("5.0", "1.50"))

    def answer(self, request: web.Request) -> dict:
        return {"error": [], "result": kraken_payloads.PAIRS}

    def wants_book(self, message: dict) -> bool:
        return message["method"] == "subscribe" and message["params"]["channel"] == "book"

    def ends_book(self, message: dict) -> bool:
        return message["method"] == "unsubscribe" and message["params"]["channel"] == "book"

    def snapshot(self) -> bytes:
        return kraken_payloads.book(self.bids, (), kraken_payloads.checksum(self.bids, []), "snapshot")

    def update(self) -> bytes:
        return kraken_payloads.book(self.bids[:1], (), kraken_payloads.checksum(self.bids, []))

    def broken_update(self) -> bytes:
        return kraken_payloads.book(self.bids[:1], (), 1)

    def trade(self) -> bytes:
        return kraken_payloads.trade()


@asynccontextmanager
async def collecting(name: str, venue, channels, symbols=("BTC/USD",)):
    """Run a collector of one exchange against its stand-in: (stage, received messages, sockets)."""
    clock, bus = ManualClock(), ListeningBus()
    received: list[dict] = []
    sockets: list[web.WebSocketResponse] = []

    async def websocket(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sockets.append(socket)
        async for message in socket:
            received.append(json.loads(message.data))
            if venue.wants_book(received[-1]):
                await socket.send_bytes(venue.snapshot())
        return socket

    async def rest(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await websocket(request)
        return web.json_response(venue.answer(request))

    app = web.Application()
    app.router.add_get("/{path:.*}", rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = FeedSettings(symbols, channels, ["1m"], Endpoints(url, url.replace("http", "ws", 1)))
    leadership = Leadership("feeds", bus.lease("feeds"), clock)
    async with aiohttp.ClientSession() as session:
        collector = ExchangeCollector(load(name)(), settings, bus, leadership, session, clock, Highest())
        tasks = [asyncio.create_task(collector.run()), asyncio.create_task(leadership.run())]
        try:
            yield Stage(clock, None, bus, session), received, sockets
            assert not tasks[0].done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()


VENUES = {"coinbase": CoinbaseVenue, "kraken": KrakenVenue}


@pytest.mark.parametrize("name", sorted(VENUES))
async def test_a_broken_book_is_subscribed_to_anew_while_trades_go_on(name):
    venue = VENUES[name]()
    async with collecting(name, venue, ["book", "trade"]) as (stage, received, sockets):
        bus = stage.bus
        await stage.until(lambda: [b.kind for b in bus.of(Book)] == ["snapshot"], step=0.05)
        await sockets[0].send_bytes(venue.update())
        await sockets[0].send_bytes(venue.broken_update())
        await sockets[0].send_bytes(venue.trade())
        await stage.until(lambda: [b.kind for b in bus.of(Book)] == ["snapshot", "delta", "snapshot"], step=0.05)
        await sockets[0].send_bytes(venue.update())
        await stage.until(lambda: len(bus.of(Book)) == 4 and bus.of(Trade))
        assert [message for message in received if venue.ends_book(message)]
        assert bus.states("BTC/USD", "book") == ["connecting", "live", "down", "live"]
        assert bus.states("BTC/USD", "trade") == ["connecting", "live"]
        assert len(sockets) == 1
        assert not bus.dead


@pytest.mark.parametrize("name", sorted(VENUES))
async def test_a_connection_is_kept_open_by_pings(name):
    venue = VENUES[name]()
    async with collecting(name, venue, ["book"]) as (stage, received, _):
        await stage.until(lambda: stage.bus.of(Book), step=0.05)
        await stage.until(lambda: json.loads(venue.ping) in received, step=0.5)


async def test_candles_that_coinbase_does_not_stream_are_polled():
    async with collecting("coinbase", CoinbaseVenue(), ["candle"]) as (stage, _, sockets):
        await stage.until(lambda: stage.bus.of(Candle), step=0.05)
        candle = stage.bus.of(Candle)[0]
        assert (candle.symbol, candle.timeframe, candle.source, candle.closed) == ("BTC/USD", "1m", "rest", False)
        assert stage.bus.states("BTC/USD", "candle:1m") == ["connecting", "live"]
        assert not sockets


async def test_a_refused_pair_is_down_alone():
    async with collecting("kraken", KrakenVenue(), ["ticker"], ["BTC/USD", "MATIC/USD"]) as (stage, received, sockets):
        await stage.until(lambda: received, step=0.05)
        refusal = {"error": "Currency pair not supported", "symbol": "MATIC/USD", "success": False}
        await sockets[0].send_str(json.dumps(refusal | {"method": "subscribe", "req_id": received[0]["req_id"]}))
        await stage.until(lambda: stage.bus.states("MATIC/USD", "ticker")[-1] == "down")
        assert stage.bus.states("BTC/USD", "ticker") == ["connecting"]
