"""Connections on which ccxt cannot unsubscribe: its Kraken class against as much of Kraken's protocol as it needs.

https://docs.kraken.com/api/docs/websocket-v2/ticker
"""

import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSMsgType, web

from bus.events import Book, Ticker, Trade
from daemon.exchanges.base import FeedKey
from tests.daemon.collectors.ccxt.helpers import Hasty, running, served, until

BTC, ETH = "BTC/USD", "ETH/USD"


class Kraken:
    """Answers each subscription with one message of its channel, and says more when the test wants it."""

    def __init__(self) -> None:
        self.url = ""
        self.subscribed: Counter[str] = Counter()
        self.sockets: list[web.WebSocketResponse] = []
        self.mute = False

    async def rest(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/AssetPairs"):
            return web.json_response({"error": [], "result": {name: pair(name) for name in (BTC, ETH)}})
        return web.json_response({"error": [], "result": {}})

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            asked = json.loads(message.data) if message.type is WSMsgType.TEXT else {}
            if asked.get("method") == "subscribe":
                channel, (symbol, *_) = asked["params"]["channel"], asked["params"]["symbol"]
                self.subscribed[f"{channel} {symbol}"] += 1
                if not self.mute:
                    await self.say(channel, symbol)
        return socket

    async def say(self, channel: str, symbol: str, **more) -> None:
        levels = {"bids": [{"price": 1.10, "qty": 5}], "asks": [{"price": 1.20, "qty": 0.50}], "checksum": 1}
        trade = {"side": "buy", "price": 1.1, "qty": 2.50, "ord_type": "market", "trade_id": 1}
        body = {"ticker": {"bid": 1.10, "ask": 1.2}, "book": levels, "trade": trade}[channel]
        when = {"timestamp": "2028-01-01T00:00:00.000000Z"}
        data = {"symbol": symbol, **body, **when, **more}
        await self.sockets[-1].send_str(json.dumps({"channel": channel, "type": "snapshot", "data": [data]}))


def pair(name: str) -> dict:
    base, quote = name.split("/")
    return {
        "altname": base + quote, "wsname": name, "base": base, "quote": quote, "status": "online",
        "pair_decimals": 1, "lot_decimals": 8, "ordermin": "0.0001", "costmin": "0.5",
    }  # fmt: skip


@pytest.fixture
async def kraken() -> AsyncIterator[Kraken]:
    async with served(Kraken()) as exchange:
        yield exchange


def streaming(exchange, channels, **more):
    return running(exchange, name="kraken", symbols=(BTC, ETH), channels=channels, options={}, **more)


async def test_a_book_begins_anew_with_its_connection_and_all_on_it_are_told(kraken):
    async with streaming(kraken, ("book", "trade")) as (collector, bus):
        await until(lambda: bus.states(BTC, "book")[-1:] == bus.states(ETH, "trade")[-1:] == ["live"])
        await collector.resync_book(BTC, "it is crossed")
        await until(lambda: len(kraken.sockets) == 2 and set(kraken.subscribed.values()) == {2})
        await until(lambda: [book.symbol for book in bus.of(Book)].count(BTC) == 2)
        assert [book.kind for book in bus.of(Book)] == ["snapshot"] * len(bus.of(Book))
        assert "it is crossed" in bus.reasons(BTC, "book")
        assert "down" in bus.states(ETH, "trade")
        assert len(bus.of(Trade)) == 2  # the exchange repeats its trades, they are published once


async def test_a_connection_that_fell_silent_is_given_up_and_opened_anew(kraken):
    async with streaming(kraken, ("ticker",), clock=Hasty()) as (_, bus):
        await until(lambda: len(bus.of(Ticker)) == 2)
        kraken.mute = True
        await until(lambda: len(kraken.sockets) > 1)
        assert {"live", "stale", "down"} <= set(bus.states(BTC, "ticker"))
        kraken.mute = False
        await until(lambda: bus.states(BTC, "ticker")[-1] == bus.states(ETH, "ticker")[-1] == "live")


async def test_one_silent_feed_costs_the_others_nothing(kraken):
    async with streaming(kraken, ("ticker",), clock=Hasty()) as (_, bus):
        await until(lambda: len(bus.of(Ticker)) == 2)
        while "stale" not in bus.states(BTC, "ticker"):
            more = len(bus.of(Ticker)) + 1
            await kraken.say("ticker", ETH)
            await until(lambda more=more: len(bus.of(Ticker)) == more)
        await kraken.say("ticker", BTC)
        await until(lambda: bus.states(BTC, "ticker")[-1] == "live")
        assert len(kraken.sockets) == 1
        assert bus.states(ETH, "ticker") == ["connecting", "live"]


async def test_a_removed_feed_is_delivered_again_when_it_is_added_again(kraken):
    async with streaming(kraken, ("ticker",)) as (collector, bus):
        await until(lambda: len(bus.of(Ticker)) == 2)
        feed = FeedKey(BTC, "ticker")
        await collector.remove([feed])
        await kraken.say("ticker", BTC)
        await kraken.say("ticker", ETH, ask=1.3)
        await until(lambda: bus.of(Ticker)[-1].ask == "1.3")
        assert len(bus.of(Ticker)) == 3
        assert await collector.add([feed]) == {}
        await kraken.say("ticker", BTC, ask=1.4)
        await until(lambda: bus.of(Ticker)[-1].ask == "1.4")
        assert len(kraken.sockets) == 1
