"""A scripted exchange that speaks a tiny protocol of its own over real sockets, its translator, and a listening bus.

Frames: {"t": symbol, "id": n} a trade, {"q": symbol} a ticker, {"need": symbol} the book needs a snapshot, {"ok": n}
and {"err": n, "msg": …} answer message n, {"bye": 1} announces the end, {"ask": text} wants text sent back,
{"break": symbol} shows a hole.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import aiohttp
from aiohttp import web
from msgspec.structs import replace

from bus.clock import ManualClock
from bus.errors import BusUnavailable, MalformedFrame
from bus.events import Book, Candle, Dead, Feed, OpenInterest, Ticker, Trade, event_type
from bus.leadership import Leadership
from bus.local import LocalState
from bus.streams import StreamNames
from daemon.collectors.exchange import ExchangeCollector, FeedSettings
from daemon.exchanges.base import Endpoints, Exchange, FeedKey, Instrument, Limits, Notice, Page, Request, by_status
from daemon.exchanges.duplicates import IdFilter

LIMITS = {
    "feeds_per_connection": 100,
    "streams_per_message": 50,
    "message_interval": 0.0,
    "connects_per_minute": 1000,
    "lifetime": 86_400.0,
    "ping_interval": None,
    "silence": 1_000.0,
    "weight": 1_000,
}


class Highest(Random):
    """Draws the highest value, so that delays are known."""

    def uniform(self, a, b):
        return b


class Tiny(Exchange):
    """The translator of the protocol above."""

    name = "tiny"
    channels = frozenset({"trade", "ticker", "candle", "book", "open_interest"})
    polled = frozenset({"open_interest"})
    contiguous = True
    timeframes = frozenset({"1m", "5m"})
    endpoints = Endpoints("", "")

    def __init__(self, **limits) -> None:
        super().__init__()
        self.limits = Limits(**(LIMITS | limits))
        self._instruments: dict[str, Instrument] = {}
        self._seen: defaultdict[str, IdFilter] = defaultdict(IdFilter)
        self.lost_feeds: list[FeedKey] = []
        self.failed_requests: list[Request] = []
        self.ping_text = "ping"

    def instruments_requests(self):
        return [Request("instruments", "/symbols", {}, 1)]

    @property
    def instruments(self):
        return self._instruments

    def streams(self, feed):
        return [f"{feed.channel}{feed.timeframe}:{feed.symbol}"]

    def url(self, websocket, feed):
        return f"{websocket}/ws?key=secret"

    def subscribe(self, streams, message_id):
        return [json.dumps({"sub": list(streams), "id": message_id})]

    def unsubscribe(self, streams, message_id):
        return [json.dumps({"unsub": list(streams), "id": message_id})]

    def ping(self):
        return self.ping_text

    def parse(self, frame, recv, connection=0):
        try:
            m = json.loads(frame)
        except ValueError as error:
            raise MalformedFrame(f"no JSON: {error}") from error
        match m:
            case {"t": symbol, "id": number}:
                if self._seen[symbol].seen(number):
                    self.duplicates["trade"] += 1
                    return []
                return [Trade("tiny", symbol, 1, recv, "ws", str(number), "1", "1", "buy")]
            case {"q": symbol}:
                return [Ticker("tiny", symbol, None, recv, "ws", bid="1")]
            case {"c": symbol, "tf": timeframe}:
                return [
                    Candle("tiny", symbol, 1, recv, "ws", timeframe, 0, "1", "1", "1", "1", "1", None, closed=False)
                ]
            case {"need": symbol}:
                self.requests.append(Request("snapshot", "/snap", {"symbol": symbol}, 1, symbol))
                return []
            case {"crash": _}:
                raise KeyError("a fault in the translator")
        self.notices.append(self._notice(m))
        return []

    def _notice(self, m):
        match m:
            case {"ok": number}:
                return Notice("control", "", number)
            case {"err": number, "msg": text}:
                return Notice("refused", text, number)
            case {"bye": _}:
                return Notice("reconnect", "bye")
            case {"ask": text}:
                return Notice("send", text)
            case {"break": symbol}:
                symbols = symbol if isinstance(symbol, list) else [symbol]
                return Notice("resync", "a hole", feeds=tuple(FeedKey(each, "trade") for each in symbols))
        return Notice("unknown", str(m))

    def answer(self, request, body, recv):
        try:
            m = json.loads(body)
        except ValueError as error:
            raise MalformedFrame("no JSON") from error
        match request.kind:
            case "instruments":
                self._instruments = {
                    symbol: Instrument("tiny", symbol, symbol, symbol[:3], symbol[4:], "spot", active=True)
                    for symbol in m
                }
                return []
            case "snapshot":
                return [Book("tiny", request.symbol, 1, recv, "rest", "snapshot", [], [], last_id=m["id"])]
        return [OpenInterest("tiny", request.symbol, 1, recv, "rest", m["amount"])]

    def failed(self, request):
        self.failed_requests.append(request)
        if request.kind == "snapshot":
            self.requests.append(request)

    def lost(self, feeds, connection=0):
        self.lost_feeds += feeds
        for feed in feeds:
            self._seen.pop(feed.symbol, None)

    def history(self, feed, span):
        if feed.channel != "trade":
            return None
        return Request("trades", "/trades", {"symbol": feed.symbol, "from": span.first_id}, 1, feed.symbol, span=span)

    def page(self, request, body, recv):
        ids = json.loads(body)
        events = [Trade("tiny", request.symbol, 1, recv, "backfill", str(n), "1", "1", "buy") for n in ids]
        return Page(events, None)

    def fresh(self, trade):
        return True

    def standing(self, status, headers, body, now):
        used = headers.get("x-used-weight", "")
        return replace(by_status(status, headers, now), used=int(used) if used else None)

    def polls(self, feed):
        if feed.channel != "open_interest":
            return None
        return Request("open_interest", "/oi", {"symbol": feed.symbol}, 1, feed.symbol)


class Peer:
    """The exchange's end of one connection."""

    def __init__(self, socket: web.WebSocketResponse, opened: float) -> None:
        self.socket = socket
        self.opened = opened
        self.received: list[dict | str] = []
        self.arrivals: list[float] = []
        self.streams: set[str] = set()
        self.closed = asyncio.Event()

    async def send(self, message) -> None:
        await self.socket.send_str(json.dumps(message))

    async def text(self, text: str) -> None:
        await self.socket.send_str(text)


class Server:
    """The scripted exchange; tests set what it does."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.peers: list[Peer] = []
        self.symbols = ["AAA/USD", "BBB/USD", "CCC/USD", "DDD/USD", "EEE/USD"]
        self.answers: dict[str, list[web.Response | Callable]] = {}
        """Scripted answers by path; when used up the ordinary one is given."""
        self.requests: Counter[str] = Counter()
        self.on_connect = None
        self.on_subscribe = None
        self.refuse: web.Response | None = None
        self.answers_pings = True
        self.url = ""

    @property
    def live(self) -> list[Peer]:
        return [peer for peer in self.peers if not peer.closed.is_set()]

    async def broadcast(self, message, stream: str) -> None:
        for peer in self.live:
            if stream in peer.streams:
                with suppress(ConnectionError):
                    await peer.send(message)

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        self.requests["/ws"] += 1
        if self.refuse is not None:
            return self.refuse
        socket = web.WebSocketResponse(autoping=False, max_msg_size=0)
        await socket.prepare(request)
        peer = Peer(socket, self._clock.monotonic())
        self.peers.append(peer)
        try:
            if self.on_connect is not None:
                await self.on_connect(peer)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await self._take(peer, message.data)
                else:
                    peer.received.append(message.type.name)
                    if message.type is aiohttp.WSMsgType.PING and self.answers_pings:
                        await socket.pong(message.data)
        finally:
            peer.closed.set()
        return socket

    async def _take(self, peer: Peer, text: str) -> None:
        peer.arrivals.append(self._clock.monotonic())
        try:
            message = json.loads(text)
        except ValueError:
            peer.received.append(text)
            return
        peer.received.append(message)
        if self.on_subscribe is not None and "sub" in message:
            await self.on_subscribe(peer, message)
            return
        peer.streams.update(message.get("sub", []))
        peer.streams.difference_update(message.get("unsub", []))
        await peer.send({"ok": message["id"]})

    async def rest(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        scripted = self.answers.get(request.path)
        if scripted:
            answer = scripted.pop(0)
            return await answer(request) if callable(answer) else answer
        ordinary = {"/symbols": self.symbols, "/snap": {"id": 7}, "/oi": {"amount": "5"}}
        return web.json_response(ordinary[request.path])


class OneLease:
    """A lease that a test gives and takes."""

    def __init__(self) -> None:
        self.held = True
        self.waiting = False

    async def renew(self):
        return self.held

    async def wanted(self):
        return self.waiting

    async def release(self):
        self.held = False


class ListeningBus:
    """A bus that keeps what is published; `room` is cleared to make publishers wait."""

    def __init__(self) -> None:
        self.names = StreamNames()
        self.state = LocalState()
        self.events: list = []
        self.publishes = 0
        self.leases = OneLease()
        self.others: list = []
        """What another process has published."""
        self.room = asyncio.Event()
        self.room.set()

    async def publish(self, events) -> None:
        await self.room.wait()
        self.publishes += 1
        self.events += events

    def lease(self, name):
        return self.leases

    def fence(self, exchange, lease):
        pass

    async def tail(self, exchange, channel, since):
        return [e for e in self.others if event_type(e) == channel]

    async def flush(self, deadline):
        pass

    async def consumer(self, group):
        raise BusUnavailable("nobody reads this bus")

    async def close(self):
        pass

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def states(self, symbol: str, channel: str = "trade") -> list[str]:
        return [e.state for e in self.of(Feed) if e.symbol == symbol and e.channel == channel]

    def reasons(self, symbol: str, channel: str = "trade") -> list[str]:
        return [e.reason for e in self.of(Feed) if e.symbol == symbol and e.channel == channel]

    def ids(self, symbol: str) -> list[int]:
        return [int(e.id) for e in self.of(Trade) if e.symbol == symbol]

    @property
    def dead(self) -> list[Dead]:
        return self.of(Dead)


class Stage:
    """Clock, exchange, bus and session of one test, and collectors that run on them."""

    def __init__(self, clock: ManualClock, server: Server, bus: ListeningBus, session: aiohttp.ClientSession) -> None:
        self.clock = clock
        self.server = server
        self.bus = bus
        self.session = session

    def collector(self, exchange: Tiny, symbols=("AAA/USD",), channels=("trade",)) -> ExchangeCollector:
        endpoints = Endpoints(self.server.url, self.server.url.replace("http", "ws", 1))
        settings = FeedSettings(symbols, channels, ("1m",), endpoints)
        self.leadership = Leadership("feeds", self.bus.lease("feeds"), self.clock)
        return ExchangeCollector(exchange, settings, self.bus, self.leadership, self.session, self.clock, Highest())

    @asynccontextmanager
    async def running(self, exchange: Tiny, symbols=("AAA/USD",), channels=("trade",)):
        collector = self.collector(exchange, symbols, channels)
        task = asyncio.create_task(collector.run())
        renewing = asyncio.create_task(self.leadership.run())
        try:
            yield collector
            assert not task.done(), task.exception()
        finally:
            for each in (task, renewing):
                each.cancel()
                await asyncio.gather(each, return_exceptions=True)

    async def subscribed(self, streams: int = 1, peers: int = 1) -> Peer:
        """Wait until the newest of so many connections has subscribed to so many streams."""
        await self.until(lambda: len(self.server.live) >= peers and len(self.server.live[-1].streams) >= streams)
        return self.server.live[-1]

    async def until(self, condition: Callable[[], object], step: float = 0.0) -> None:
        """Wait for a condition, turning the clock by `step` seconds at each look."""
        async with asyncio.timeout(60):
            while not condition():
                if step:
                    self.clock.advance(step)
                await asyncio.sleep(0.001)

    async def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Turn the clock step by step, letting everybody act in between."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(step)
            await asyncio.sleep(0.001)


@asynccontextmanager
async def make_stage():
    clock = ManualClock()
    server = Server(clock)
    app = web.Application()
    app.router.add_get("/ws", server.websocket)
    app.router.add_get("/{path:.*}", server.rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        yield Stage(clock, server, ListeningBus(), session)
    await runner.cleanup()
