"""Runs one exchange: instruments, connections, the requests its translator wants made, polling, feed states."""

import asyncio
import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import aiohttp
import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import MalformedFrame, MarketdError, Permanent, Retryable
from bus.events import AnyMarketEvent, Dead, Event, Feed, FeedState
from bus.interface import EventBus
from daemon.collectors.connection import Connection
from daemon.collectors.line import Line
from daemon.collectors.rest import RestClient
from daemon.collectors.watch import FeedWatch
from daemon.exchanges.base import Endpoints, Exchange, FeedKey, Instrument, Request
from daemon.resilience.backoff import Backoff
from daemon.resilience.limiter import Limiter, Quota

log = structlog.get_logger(__name__)

REQUESTS_AT_ONCE: Final = 4
REQUESTS_WAITING: Final = 10_000
PAYLOAD_KEPT: Final = 64 * 1024
"""Bytes of a malformed frame that are kept as a dead letter."""


@dataclass(frozen=True)
class FeedSettings:
    """What of an exchange to deliver, and where it is."""

    symbols: Sequence[str]
    channels: Sequence[str]
    timeframes: Sequence[str]
    endpoints: Endpoints

    def keys(self) -> list[FeedKey]:
        """Return every feed that these settings mean."""
        return [
            FeedKey(symbol, channel, timeframe)
            for symbol in self.symbols
            for channel in self.channels
            for timeframe in (self.timeframes if channel == "candle" else [""])
        ]


class ExchangeCollector:
    """Everything that runs for one exchange, so that one exchange's trouble never touches another."""

    def __init__(
        self,
        exchange: Exchange,
        settings: FeedSettings,
        bus: EventBus,
        session: aiohttp.ClientSession,
        clock: Clock,
        random: Random,
    ) -> None:
        self.name = exchange.name
        self._exchange = exchange
        self._settings = settings
        self._bus = bus
        self._session = session
        self._clock = clock
        self._random = random
        limiter = Limiter(clock, exchange.limits.weight_per_minute)
        self._rest = RestClient(exchange.name, settings.endpoints.rest, session, limiter, clock, random)
        self._connects = Quota(clock, exchange.limits.connects_per_minute)
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._connections = 0
        self._recv = 0
        self._requests: asyncio.Queue[Request] = asyncio.Queue(REQUESTS_WAITING)
        self._refused: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    # the public side

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The exchange's symbols, empty until they are loaded."""
        return self._exchange.instruments

    async def run(self) -> None:
        """Deliver the configured feeds until cancelled."""
        workers = [asyncio.create_task(self._work()) for _ in range(REQUESTS_AT_ONCE)]
        try:
            await self._load_instruments()
            await self.add(self._settings.keys())
            await self._own(workers)
        finally:
            tasks = [*workers, *self._lines.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._lines.clear()

    async def add(self, feeds: Iterable[FeedKey]) -> None:
        """Deliver more feeds; a symbol that the exchange does not have is reported and left out."""
        known = [feed for feed in feeds if await self._exists(feed)]
        room = self._exchange.limits.feeds_per_connection
        for feed in known:
            size = len(self._exchange.streams(feed))
            line = next((line for line in self._lines if len(line.stream_names(line.watches)) + size <= room), None)
            if line is None:
                line = self._new_line()
            line.add([feed])
        for line, task in list(self._lines.items()):
            if task.done() and line.watches:
                self._lines[line] = asyncio.create_task(line.run())

    async def remove(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering feeds, without touching the others."""
        wanted = list(feeds)
        for line, task in list(self._lines.items()):
            line.remove(wanted)
            if not line.watches:
                task.cancel()
                del self._lines[line]

    def status(self) -> dict[str, Any]:
        """Return what the `status` command says of this exchange."""
        watches = [watch for line in self._lines for watch in line.watches.values()]
        return {
            "exchange": self.name,
            "connections": len(self._lines),
            "feeds": [
                {
                    "symbol": watch.key.symbol,
                    "channel": watch.key.channel,
                    "timeframe": watch.key.timeframe,
                    "state": watch.state,
                    "age": None if watch.last is None else round(watch.age, 3),
                    "reason": watch.reason,
                }
                for watch in watches
            ],
            "refused": self._refused,
        }

    # symbols

    async def _load_instruments(self) -> None:
        """Ask for the symbols until they are there."""
        backoff = Backoff(self._random, first=1.0, longest=30.0, least=0.2)
        request = self._exchange.instruments_request()
        while not self._exchange.instruments:
            try:
                body = await self._rest.get(request)
                self._exchange.answer(request, body, self._stamp())
            except (Retryable, Permanent) as error:
                wait = backoff.next()
                log.warning("no symbol list yet", exchange=self.name, error=str(error), again_in=round(wait, 2))
                await self._clock.sleep(wait)
        log.info("symbols loaded", exchange=self.name, symbols=len(self._exchange.instruments))

    async def _exists(self, feed: FeedKey) -> bool:
        instrument = self._exchange.instruments.get(feed.symbol)
        reason = ""
        if instrument is None:
            near = difflib.get_close_matches(feed.symbol, self._exchange.instruments, n=3, cutoff=0.6)
            reason = f"{self.name} has no symbol {feed.symbol}" + (f"; nearest: {', '.join(near)}" if near else "")
        elif not instrument.active:
            reason = f"{feed.symbol} is not trading on {self.name}"
        elif feed.channel not in self._exchange.channels:
            reason = f"{self.name} has no channel {feed.channel}"
        elif feed.timeframe and feed.timeframe not in self._exchange.timeframes:
            reason = f"{self.name} has no {feed.timeframe} candles"
        if reason:
            self._refused[f"{feed.symbol} {feed.channel} {feed.timeframe}".strip()] = reason
            log.error("feed refused", exchange=self.name, reason=reason)
            await self._say(feed, "down", reason)
        return not reason

    # connections

    def _new_line(self) -> Line:
        line = Line(self._exchange, self._connect, self._connects.acquire, self._report, self._clock, self._random)
        self._lines[line] = asyncio.get_running_loop().create_task(self._nothing())
        return line

    async def _nothing(self) -> None:
        """The task of a line that has no feeds yet."""

    def _connect(self, line: Line) -> Connection:
        self._connections += 1

        async def frames(connection: Connection, frame: bytes) -> None:
            await self._frame(line, connection, frame)

        return Connection(
            self._connections, self._exchange, self._settings.endpoints.websocket, self._session, self._clock, frames
        )

    async def _own(self, workers: list["asyncio.Task[None]"]) -> None:
        """Notice when something that should run for ever has ended, and start a line again alone."""
        while True:
            await asyncio.wait({*workers, *self._lines.values()}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()
                    raise MarketdError(f"a request worker of {self.name} has ended")
            for line, task in list(self._lines.items()):
                if task.done():
                    error = None if task.cancelled() else task.exception()
                    log.error("connection task crashed, starting it again", exchange=self.name, error=repr(error))
                    metrics.TASK_RESTARTS.labels(f"line:{self.name}").inc()
                    await self._clock.sleep(self._random.uniform(0.1, 1.0))
                    self._lines[line] = asyncio.create_task(line.run())

    async def _report(self, watch: FeedWatch, state: FeedState, reason: str) -> None:
        if (watch.state, watch.reason) == (state, reason):
            return
        watch.state, watch.reason = state, reason
        live = sum(watch.state == "live" for line in self._lines for watch in line.watches.values())
        metrics.FEEDS_LIVE.labels(self.name).set(live)
        await self._say(watch.key, state, reason)

    async def _say(self, feed: FeedKey, state: FeedState, reason: str) -> None:
        channel = f"{feed.channel}:{feed.timeframe}" if feed.timeframe else feed.channel
        await self._bus.publish([Feed(self._clock.now(), self.name, feed.symbol, channel, state, reason)])

    # frames and answers

    def _stamp(self) -> int:
        """The receive time, strictly rising, so that it identifies events without an id of their own."""
        self._recv = max(self._recv + 1, self._clock.now())
        return self._recv

    async def _frame(self, line: Line, connection: Connection, frame: bytes) -> None:
        try:
            events = self._exchange.parse(frame, self._stamp(), connection.number)
        except MalformedFrame as error:
            await self._malformed(connection.url, str(error), frame)
            return
        if events:
            line.delivered(connection, events)
            await self._bus.publish(events)
        if self._exchange.notices:
            self._take_notices(line, connection)
        if self._exchange.requests:
            self._take_requests()

    async def _malformed(self, origin: str, reason: str, frame: bytes) -> None:
        metrics.FRAMES_MALFORMED.labels(self.name).inc()
        metrics.DEAD.labels("parse").inc()
        now = self._clock.now()
        letter = Dead(now, f"parse:{self.name}:{self._stamp()}", origin, "parse", reason, frame[:PAYLOAD_KEPT])
        await self._bus.publish([letter])

    def _take_notices(self, line: Line, connection: Connection) -> None:
        while self._exchange.notices:
            notice = self._exchange.notices.popleft()
            match notice.kind:
                case "control":
                    metrics.FRAMES_CONTROL.labels(self.name).inc()
                case "unknown":
                    metrics.FRAMES_UNKNOWN.labels(self.name).inc()
                case "refused":
                    log.error("the exchange refused a subscription", exchange=self.name, reason=notice.text)
                case "send":
                    connection.send(notice.text)
                case "reconnect":
                    line.change_connection()

    def _take_requests(self) -> None:
        while self._exchange.requests:
            request = self._exchange.requests.popleft()
            try:
                self._requests.put_nowait(request)
            except asyncio.QueueFull:
                self._exchange.failed(request)

    async def _work(self) -> None:
        """Make the requests that the translator wants made."""
        while True:
            request = await self._requests.get()
            try:
                body = await self._rest.get(request)
            except (Retryable, Permanent) as error:
                log.warning("request failed", exchange=self.name, request=request.kind, error=str(error))
                self._exchange.failed(request)
                continue
            await self._answered(request, body)

    async def _answered(self, request: Request, body: bytes) -> None:
        try:
            events: Sequence[AnyMarketEvent | Event] = self._exchange.answer(request, body, self._stamp())
        except MalformedFrame as error:
            self._exchange.failed(request)
            await self._malformed(self._settings.endpoints.rest + request.path, str(error), body)
            return
        await self._bus.publish(events)
        self._take_requests()
