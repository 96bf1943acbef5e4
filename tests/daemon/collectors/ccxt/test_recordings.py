"""ccxt's classes of other exchanges deliver what recordings of these exchanges hold, to the digit.

The exchanges have translators here too: so it is known what must come out.
"""

import gzip
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

from bus.book import BookBuilder
from bus.clock import MILLISECOND
from bus.events import Book, Ticker, Trade
from tests.daemon.collectors.ccxt.helpers import running, served, until


class Case(NamedTuple):
    name: str
    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    options: dict


CASES = [
    Case(
        "okx", ("BTC/USDT", "UNI/USD:UNI", "BTC/USD:BTC-220527"), ("trade", "ticker", "book"),
        {"fetchMarkets": {"types": ["spot", "swap", "future"]}},
    ),
    Case(
        "bybit", ("BCH/USDT:USDT", "ETH/USDT:USDT", "UNI/USDT:USDT"), ("trade", "book"),
        {"fetchMarkets": {"types": ["linear"]}},
    ),
    Case("kraken", ("XMR/USD", "SC/EUR"), ("trade", "ticker", "book"), {}),
]  # fmt: skip


class Line(msgspec.Struct):
    k: str = ""
    u: str = ""
    d: str = ""


class Recorded:
    """Answers with what a recording holds, and plays its frames once everything is subscribed to."""

    def __init__(self, path: Path, subscriptions: int) -> None:
        self.url = ""
        with gzip.open(path) as file:
            self._lines = [msgspec.json.decode(line, type=Line) for line in file]
        self._missing = subscriptions

    async def rest(self, request: web.Request) -> web.StreamResponse:
        for line in self._lines:
            url = URL(line.u)
            if line.k == "rest" and url.path == request.path and url.query.items() <= request.query.items():
                # Kraken's answer of 2021 lacks a field that it has today
                text = line.d.replace('{"altname"', '{"status":"online","altname"')
                return web.Response(text=text, content_type="application/json")
        return web.json_response({"retCode": 0, "error": [], "result": {}})

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and "subscribe" in message.data:
                self._missing -= 1
                if self._missing == 0:
                    for line in self._lines:
                        if line.k == "ws":
                            await socket.send_str(line.d)
        return socket


@pytest.fixture(params=CASES, ids=lambda case: case.name)
async def told(request, recordings):
    """(case, golden lines by channel and symbol, what the collector has published)"""
    case: Case = request.param
    golden = defaultdict(list)
    with gzip.open(recordings / "golden" / f"{case.name}_current_api.golden.jsonl.gz") as file:
        for line in map(msgspec.json.decode, file):
            golden[line["channel"], line["symbol"]].append(line)
    recorded = Recorded(recordings / f"{case.name}_current_api.jsonl.gz", len(case.symbols) * len(case.channels))
    wanted = {"symbols": case.symbols, "channels": case.channels, "name": case.name, "options": case.options}
    counts = {kind: sum(len(golden[kind.__name__.lower(), s]) for s in case.symbols) for kind in (Trade, Ticker, Book)}
    async with served(recorded) as exchange, running(exchange, **wanted) as (_, bus):
        await until(lambda: all(len(bus.of(kind)) >= count for kind, count in counts.items()))
        return case, golden, bus


async def test_a_recording_gives_its_golden_events(told):
    case, golden, bus = told
    assert not bus.dead
    for symbol in case.symbols:
        trades = [(milliseconds(t.ts), t.id, t.side, t.price, t.amount) for t in bus.of(Trade) if t.symbol == symbol]
        assert trades == [
            (milliseconds(line["ts"]), line["id"], line["side"], line["price"], line["amount"])
            for line in golden["trade", symbol]
        ]
        tickers = [(t.bid, t.ask) for t in bus.of(Ticker) if t.symbol == symbol]
        assert tickers == [(line["bid"], line["ask"]) for line in golden["ticker", symbol]]
        builder, tops = BookBuilder(), []
        for event in bus.of(Book):
            if event.symbol == symbol:
                builder.apply(event)
                tops.append([*builder.bids(5), *builder.asks(5)])
        assert tops == [[*map(tuple, line["bids"] + line["asks"])] for line in golden["book", symbol]]


def milliseconds(ns: int) -> int:
    """ccxt's own precision."""
    return ns // MILLISECOND
