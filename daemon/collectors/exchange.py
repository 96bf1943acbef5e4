"""Runs one exchange: its symbols, connections, polls, the requests its translator wants made, its feeds' states."""

import asyncio
import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from bus.clock import Clock
from bus.errors import ConfigError, NotAsked, RequestRefused
from bus.events import Event, Trade
from bus.interface import EventBus
from bus.leadership import Leadership
from daemon.collectors.board import FeedBoard
from daemon.collectors.closes import ClosePoller
from daemon.collectors.connection import Surroundings
from daemon.collectors.dialler import Dialler
from daemon.collectors.gate import Gate, make_gate
from daemon.collectors.intake import Intake
from daemon.collectors.line import Line
from daemon.collectors.listing import Listing
from daemon.collectors.outbox import Outbox
from daemon.collectors.polling import Poller
from daemon.collectors.requests import RequestWorker
from daemon.collectors.rest import RestClient
from daemon.collectors.resyncs import WrongBooks
from daemon.collectors.symbols import FeedSettings, why_not
from daemon.collectors.tasks import cancel, keep_running
from daemon.collectors.turns import Turns
from daemon.exchanges.base import Exchange, FeedKey, Span, Translated
from daemon.resilience.backoff import Backoff
from daemon.resilience.breaker import CircuitBreaker
from daemon.resilience.limiter import WeightLimiter

log = structlog.get_logger(__name__)

SHARE: Final = 0.9
"""Part of the allowed request weight that we use: other programs on the address and clock differences need the rest."""
WATCH_INTERVAL: Final = 1.0
HISTORY_DEADLINE: Final = 300.0
"""Seconds for one page of history, its turn included: it waits until others leave room."""

__all__ = ["ExchangeCollector", "FeedSettings"]


class ExchangeCollector:
    """Everything that runs for one exchange, so that one exchange's trouble never touches another."""

    def __init__(
        self,
        exchange: Exchange,
        settings: FeedSettings,
        bus: EventBus,
        leadership: Leadership,
        session: aiohttp.ClientSession,
        clock: Clock,
        random: Random,
    ) -> None:
        self.name = exchange.name
        self._exchange = exchange
        self.settings = settings
        """What was configured."""
        self._clock = clock
        self._random = random
        self._outbox = Outbox(bus, clock)
        self._turns = Turns(exchange.name, exchange.lost, leadership, bus, self._outbox)
        self._board = FeedBoard(exchange.name, self._outbox, clock)
        self._gate = self._make_gate(bus)
        self.breakers: Mapping[str, CircuitBreaker] = {"ws": self._gate.websocket, "rest": self._gate.rest}
        """The circuit breakers by kind, for the operator's commands."""
        self.rest = RestClient(exchange, settings.endpoints.rest, session, self._gate, clock, random)
        """The one REST client of this exchange: whoever wants history goes through its limits."""
        self._intake = Intake(exchange, self._board, self._outbox, clock)
        self.listing = Listing(exchange, self.rest, self._intake, self._outbox, clock, random)
        """The exchange's symbols."""
        self._worker = RequestWorker(exchange, self.rest, self._intake, self._outbox, clock, random)
        self._poller = Poller(
            exchange, self.rest, self._intake, self._board, self._outbox, lambda: self.settings.interval, clock, random
        )
        self._closes = ClosePoller(self.name, self.history, self._board, self._outbox, bus.state, clock, random)
        self._dialler = Dialler(exchange, session, self._gate, clock)
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._polls: dict[FeedKey, asyncio.Task[None]] = {}
        self._wrong = WrongBooks(clock, self._begin_anew)
        self._wanted = dict.fromkeys(settings.keys())
        self._loaded = False

    def _make_gate(self, bus: EventBus) -> Gate:
        limits = self._exchange.limits
        # another host of the same protocol bans on its own account
        key = f"{self.name}:{urlsplit(self.settings.endpoints.rest).netloc.rpartition('@')[2]}"
        weight = WeightLimiter(key, int(limits.weight * SHARE), self._clock, bus.state, limits.weight_window)
        return make_gate(self.name, weight, limits.connects_per_minute, self._outbox, self._clock, self._random)

    # the public side

    async def run(self) -> None:
        """Deliver the wanted feeds until cancelled."""
        try:
            await self._turns.begin()
            self._start("turns", self._turns.run)
            self._start("requests", self._worker.run)
            self._start("feeds", self._watch_feeds)
            self._board.add(self._wanted)
            await self._outbox.publish()
            await self._gate.restore(self._clock, self._random)
            await self._load_instruments()
            self._loaded = True
            await self.add(list(self._wanted))
            self._start("symbols", self._follow_listing)
            await asyncio.gather(*self._tasks)
        finally:
            self._turns.end()
            await cancel([*self._lines.values(), *self._polls.values(), *self._tasks])
            self._lines.clear()
            self._polls.clear()
            self._tasks.clear()
            self._loaded = False
            await self._board.farewell()

    @property
    def loaded(self) -> bool:
        """Whether the exchange's symbols are known."""
        return self._loaded

    def why_not(self, feed: FeedKey) -> str:
        """Return why the exchange cannot deliver a feed, "" when it can."""
        return why_not(self._exchange, feed)

    async def add(self, feeds: Iterable[FeedKey], purpose: str = "") -> dict[FeedKey, str]:
        """Deliver more feeds without touching the others; return those that the exchange cannot deliver, and why.

        A `purpose` is told with the states of the feeds.
        """
        carried = self._carried()
        new = [feed for feed in dict.fromkeys(feeds) if feed not in carried]
        self._wanted.update(dict.fromkeys(new))
        self._board.add((feed for feed in new if feed not in self._board.watches), purpose)
        refused: dict[FeedKey, str] = {}
        if self._loaded:
            refused = {feed: reason for feed in new if (reason := why_not(self._exchange, feed))}
            for feed, reason in refused.items():
                log.error("feed refused", exchange=self.name, reason=reason)
                self._board.down([feed], reason)
            self._deliver([feed for feed in new if feed not in refused])
        await self._outbox.publish()
        return refused

    async def remove(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering feeds, without touching the others."""
        gone = list(feeds)
        for feed in gone:
            self._wanted.pop(feed, None)
        await self._drop(gone)
        self._board.remove(gone)
        await self._outbox.publish()

    @property
    def feeds(self) -> list[FeedKey]:
        """The wanted feeds."""
        return list(self._wanted)

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list[Translated]]:
        """Give a part of a feed's history page by page, within what the request limits leave to spare.

        Raises ExchangeUnavailable, MalformedFrame; RequestRefused also where the exchange keeps no such history, or
        lists the symbol no more.
        """
        try:
            request = self._exchange.history(feed, span)
        except ConfigError as error:
            if not self._loaded:
                raise NotAsked(f"the symbol list of {self.name} is not there yet") from error
            raise RequestRefused(str(error)) from error
        if request is None:
            raise RequestRefused(f"{self.name} keeps no history of {feed.channel} messages")
        while request is not None:
            body = await self.rest.get(request, HISTORY_DEADLINE, background=True)
            page = self._intake.page(request, body, self.rest.url(request))
            yield page.events
            request = page.next

    async def volumes(self) -> Mapping[str, Decimal]:
        """Ask what was traded in 24 hours, in quote currency, by symbol; nothing where the exchange does not tell.

        Raises ExchangeUnavailable, RequestRefused, MalformedFrame.
        """
        found: dict[str, Decimal] = {}
        for request in self._exchange.volumes_requests():
            body = await self.rest.get(request)
            found |= self._intake.volumes(request, body, self.rest.url(request))
        return found

    async def resync_book(self, symbol: str, reason: str) -> None:
        """Have one symbol's book start anew from a snapshot, without touching anything else; soon again only later."""
        await self._wrong.found(FeedKey(symbol, "book"), reason)

    async def _begin_anew(self, feed: FeedKey, reason: str) -> bool:
        watch = self._board.watches.get(feed)
        if watch is None or watch.state == "down" or not any(feed in line.feeds for line in self._lines):
            return False  # one that is down begins with a snapshot in any case
        log.warning("a book starts anew", exchange=self.name, symbol=feed.symbol, reason=reason)
        self._board.down([feed], reason)
        self._exchange.lost([feed])
        for line in self._lines:
            line.again(feed)
        await self._outbox.publish()
        return True

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        return self._exchange.fresh(trade)

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish events of this exchange in turn with its live ones."""
        await self._outbox.publish(events)

    def status(self) -> dict[str, Any]:
        """Return what the `status` command says of this exchange: plain values, ages in seconds, times in ns."""
        return {
            "exchange": self.name,
            "publishing": self.publishing,
            "connections": sum(line.connections for line in self._lines),
            "breakers": {kind: breaker.state for kind, breaker in self.breakers.items()},
            "banned_until": self._gate.weight.banned_until if self._gate.weight.banned_for() else None,
            "feeds": self._board.report(),
        }

    @property
    def newest_only(self) -> bool:
        """Whether its history of trades is the newest ones alone."""
        return self._exchange.newest_only

    @property
    def publishing(self) -> bool:
        """Whether this process publishes the feeds, or stands by while another one does."""
        return self._outbox.publishing

    # starting

    async def _load_instruments(self) -> None:
        """Ask for the symbols until they are there; until then every feed is down and says why."""
        backoff = Backoff(self._random, first=1.0, longest=60.0, least=0.2)
        while reason := await self.listing.load():
            log.warning("no symbol list yet", exchange=self.name, reason=reason)
            self._board.down(self._wanted, f"no symbol list yet: {reason}")
            await self._outbox.publish()
            await self._clock.sleep(backoff.next())
        log.info("symbols loaded", exchange=self.name, symbols=len(self._exchange.instruments))

    async def _follow_listing(self) -> None:
        """Stop the feeds of symbols that are listed no more, each alone, and deliver those that can be had again."""
        while True:
            await self.listing.next_load()
            for feed in [feed for feed in self._carried() if (why_not(self._exchange, feed))]:
                reason = why_not(self._exchange, feed)
                log.warning("feed stopped", exchange=self.name, reason=reason)
                await self._drop([feed])
                self._board.down([feed], reason)
            await self.add(list(self._wanted))

    # delivering

    def _carried(self) -> set[FeedKey]:
        """Return the feeds that a connection or a poll delivers."""
        return set(self._polls).union(*(line.feeds for line in self._lines))

    async def _drop(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering feeds; a connection that is left without any ends."""
        gone = list(feeds)
        for feed in gone:
            if (poll := self._polls.pop(feed, None)) is not None:
                await cancel([poll])
        for line in list(self._lines):
            line.remove(gone)
            if not line.feeds:
                await cancel([self._lines.pop(line)])

    def _deliver(self, feeds: Iterable[FeedKey]) -> None:
        """Give each feed to a poll, or to a connection that has room for its streams."""
        room = self._exchange.limits.feeds_per_connection
        given: defaultdict[Line, list[FeedKey]] = defaultdict(list)
        streams: Counter[Line] = Counter()
        for feed in feeds:
            at_close = feed.timeframe in self.settings.at_close
            if at_close or self._exchange.polls(feed) is not None:
                poller = self._closes if at_close else self._poller
                self._polls[feed] = self._keep("poll", functools.partial(poller.run, feed))
                continue
            size = len(self._exchange.streams(feed))
            url = self._exchange.url(self.settings.endpoints.websocket, feed)
            fitting = (it for it in self._lines if it.url == url and it.streams + streams[it] + size <= room)
            line = next(fitting, None) or self._new_line(url)
            given[line].append(feed)
            streams[line] += size
        for line, new in given.items():
            line.add(new)

    def _new_line(self, url: str) -> Line:
        breaker = self._gate.websocket
        around = Surroundings(
            self._exchange, self._intake, self._board, self._outbox, self._clock, requested=self._worker.wake,
            barred=lambda: breaker.state == "forced_open",
        )  # fmt: skip
        line = Line(url, around, self._dialler, self._numbers, self._random)
        self._lines[line] = self._keep("connection", line.run)
        return line

    async def _watch_feeds(self) -> None:
        while True:
            await self._clock.sleep(WATCH_INTERVAL)
            for line in self._lines:
                if line.revive():
                    self.listing.doubt()
            await self._wrong.look()
            await self._outbox.publish()

    def _start(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        self._tasks.add(self._keep(what, run))

    def _keep(self, what: str, run: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        return asyncio.create_task(keep_running(f"{what}:{self.name}", run, self._clock, self._random))
