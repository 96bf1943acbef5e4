"""Runs one exchange through ccxt: its symbols, its streams and polls, its feeds' states."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from bus.clock import Clock
from bus.errors import ExchangeUnavailable
from bus.events import Event, Trade
from bus.interface import EventBus
from bus.leadership import Leadership
from daemon.collectors.board import FeedBoard
from daemon.collectors.ccxt import catalogue
from daemon.collectors.ccxt.delivery import Delivery
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.listing import CcxtListing
from daemon.collectors.ccxt.rest import CAPACITY, WINDOW
from daemon.collectors.ccxt.volumes import volumes
from daemon.collectors.closes import ClosePoller
from daemon.collectors.gate import make_gate
from daemon.collectors.outbox import Outbox
from daemon.collectors.resyncs import WrongBooks
from daemon.collectors.symbols import FeedSettings, lacking
from daemon.collectors.tasks import cancel, keep_running
from daemon.collectors.turns import Turns
from daemon.exchanges.base import FeedKey, Span, Translated
from daemon.resilience.backoff import Backoff
from daemon.resilience.breaker import CircuitBreaker
from daemon.resilience.limiter import WeightLimiter

log = structlog.get_logger(__name__)

CONNECTS: Final = 60
"""Connections per minute; exchanges allow more, but few say how many."""
WATCH_INTERVAL: Final = 1.0


class CcxtCollector:
    """Everything that runs for one exchange, so that one exchange's trouble never touches another.

    An endpoint that is empty stays the exchange's own. `options` are ccxt's own for this exchange.
    """

    def __init__(
        self,
        name: str,
        settings: FeedSettings,
        bus: EventBus,
        leadership: Leadership,
        clock: Clock,
        random: Random,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        """What was configured."""
        self._options = options or {}
        self._clock = clock
        self._random = random
        self._outbox = Outbox(bus, clock)
        self._board = FeedBoard(name, self._outbox, clock)
        self._intake = CcxtIntake(name, self._board, self._outbox, clock)
        self._turns = Turns(name, self._intake.memory.lost, leadership, bus, self._outbox)
        host = urlsplit(settings.endpoints.rest).netloc.rpartition("@")[2]
        weight = WeightLimiter(f"{name}:{host}", CAPACITY, clock, bus.state, WINDOW)
        self._gate = make_gate(name, weight, CONNECTS, self._outbox, clock, random)
        self.breakers: Mapping[str, CircuitBreaker] = {"ws": self._gate.websocket, "rest": self._gate.rest}
        """The circuit breakers by kind, for the operator's commands."""
        self.listing = CcxtListing(name, self._ask_for_markets, clock, random)
        """The exchange's symbols."""
        self._closes = ClosePoller(name, self.history, self._board, self._outbox, bus.state, clock, random)
        self._wrong = WrongBooks(clock, self._begin_anew)
        self._wanted = dict.fromkeys(settings.keys())
        self._tasks: set[asyncio.Task[None]] = set()
        self._delivery: Delivery | None = None
        self._loaded = False

    # the public side

    async def run(self) -> None:
        """Deliver the wanted feeds until cancelled."""
        try:
            await self._turns.begin()
            self._start("turns", self._turns.run)
            self._start("publishing", self._intake.run)
            self._board.add(self._wanted)
            await self._outbox.publish()
            await self._gate.restore(self._clock, self._random)
            self._delivery = await self._open()
            await self._load_symbols()
            self._loaded = True
            await self.add(list(self._wanted))
            self._start("feeds", self._watch_feeds)
            self._start("symbols", self._follow_listing)
            await asyncio.gather(*self._tasks)
        finally:
            self._turns.end()
            if self._delivery is not None:
                await self._delivery.close()
            await cancel(self._tasks)
            self._tasks.clear()
            self._delivery = None
            self._loaded = False
            await self._board.farewell()

    @property
    def loaded(self) -> bool:
        """Whether the exchange's symbols are known."""
        return self._loaded

    def why_not(self, feed: FeedKey) -> str:
        """Return why the exchange cannot deliver a feed, "" when it can."""
        if self._delivery is None:
            return f"{self.name} is not running"
        instruments = self.listing.instruments
        reason = lacking(self.name, instruments, self._delivery.ways, self._delivery.timeframes, feed)
        if not reason and feed.channel in catalogue.OF_DERIVATIVES and instruments[feed.symbol].kind == "spot":
            return f"{feed.symbol} is not a derivative: it has no {feed.channel}"
        return reason

    async def add(self, feeds: Iterable[FeedKey], purpose: str = "") -> dict[FeedKey, str]:
        """Deliver more feeds without touching the others; return those that the exchange cannot deliver, and why.

        A `purpose` is told with the states of the feeds.
        """
        carried = set(self._delivery.feeds) if self._delivery else set()
        new = [feed for feed in dict.fromkeys(feeds) if feed not in carried]
        self._wanted.update(dict.fromkeys(new))
        self._board.add((feed for feed in new if feed not in self._board.watches), purpose)
        refused: dict[FeedKey, str] = {}
        if self._delivery is not None and self._loaded:
            refused = {feed: reason for feed in new if (reason := self.why_not(feed))}
            for feed, reason in refused.items():
                log.error("feed refused", exchange=self.name, reason=reason)
                self._board.down([feed], reason)
            self._delivery.deliver(feed for feed in new if feed not in refused)
        await self._outbox.publish()
        return refused

    async def remove(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering feeds, without touching the others."""
        gone = list(feeds)
        for feed in gone:
            self._wanted.pop(feed, None)
        if self._delivery is not None:
            await self._delivery.drop(gone)
        await self._intake.flush()
        self._intake.memory.forget(gone)
        self._board.remove(gone)
        await self._outbox.publish()

    @property
    def feeds(self) -> list[FeedKey]:
        """The wanted feeds."""
        return list(self._wanted)

    @property
    def newest_only(self) -> bool:
        """See `Collector`: that differs, and ccxt does not tell."""
        return False

    @property
    def publishing(self) -> bool:
        """Whether this process publishes the feeds, or stands by while another one does."""
        return self._outbox.publishing

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list[Translated]]:
        """Give a part of a feed's history page by page, within what the request limits leave to spare.

        Raises ExchangeUnavailable, MalformedFrame; RequestRefused also where the exchange keeps no such history.
        """
        if self._delivery is None:
            raise ExchangeUnavailable(f"{self.name} is not running")
        async for page in self._delivery.history.pages(feed, span):
            yield page

    async def volumes(self) -> Mapping[str, Decimal]:
        """Ask what was traded in 24 hours, in quote currency, by symbol.

        Raises ExchangeUnavailable, MalformedFrame; RequestRefused also where the exchange does not tell.
        """
        if self._delivery is None:
            raise ExchangeUnavailable(f"{self.name} is not running")
        return await volumes(self.name, self._delivery.exchange.has, self._delivery.rest)

    async def resync_book(self, symbol: str, reason: str) -> None:
        """Have one symbol's book start anew from a snapshot: alone where ccxt can, else with its connection.

        Soon after the last time it waits.
        """
        await self._wrong.found(FeedKey(symbol, "book"), reason)

    async def _begin_anew(self, feed: FeedKey, reason: str) -> bool:
        if self._delivery is None or feed not in self._delivery.feeds:
            return False
        log.warning("a book starts anew", exchange=self.name, symbol=feed.symbol, reason=reason)
        await self._intake.flush()
        self._board.down([feed], reason)
        await self._delivery.resync(feed)
        await self._outbox.publish()
        return True

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        return self._intake.memory.trades(trade.symbol).fresh(trade)

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish events of this exchange in turn with its live ones."""
        await self._outbox.publish(events)

    def status(self) -> dict[str, Any]:
        """Return what the `status` command says of this exchange: plain values, ages in seconds, times in ns."""
        return {
            "exchange": self.name,
            "publishing": self.publishing,
            "connections": self._delivery.connections if self._delivery else 0,
            "breakers": {kind: breaker.state for kind, breaker in self.breakers.items()},
            "banned_until": self._gate.weight.banned_until if self._gate.weight.banned_for() else None,
            "feeds": self._board.report(),
        }

    # what runs

    async def _open(self) -> Delivery:
        exchange_class, hooks = await catalogue.load(self.name)
        surroundings = hooks.Surroundings(self.name, self._gate, self._intake, self._clock)
        exchange = hooks.make(exchange_class, surroundings, self._options, self.settings.endpoints)
        return Delivery(
            self.name, exchange, self._intake, self._board, self._outbox, self._gate, self._closes,
            lambda: self.settings, self._clock, self._random,
        )  # fmt: skip

    async def _ask_for_markets(self) -> tuple[Mapping[str, Any], int]:
        assert self._delivery is not None, "the list is asked for by what runs"
        markets = await self._delivery.rest.call("load_markets", True)
        return markets, self._delivery.exchange.precisionMode

    async def _load_symbols(self) -> None:
        """Ask for the symbols until they are there; until then every feed is down and says why."""
        backoff = Backoff(self._random, first=1.0, longest=60.0, least=0.2)
        while reason := await self.listing.load():
            log.warning("no symbol list yet", exchange=self.name, reason=reason)
            self._board.down(self._wanted, f"no symbol list yet: {reason}")
            await self._outbox.publish()
            await self._clock.sleep(backoff.next())
        log.info("symbols loaded", exchange=self.name, symbols=len(self.listing.instruments))

    async def _follow_listing(self) -> None:
        """Stop the feeds of symbols that are listed no more, each alone, and deliver those that can be had again."""
        while self._delivery is not None:
            await self.listing.next_load()
            for feed in self._delivery.feeds:
                if reason := self.why_not(feed):
                    log.warning("feed stopped", exchange=self.name, reason=reason)
                    await self._delivery.drop([feed])
                    self._board.down([feed], reason)
            await self.add(list(self._wanted))

    async def _watch_feeds(self) -> None:
        while self._delivery is not None:
            await self._clock.sleep(WATCH_INTERVAL)
            if self.breakers["ws"].state == "forced_open":
                self._delivery.disconnect("the breaker was opened by an operator")
            if await self._delivery.revive():
                self.listing.doubt()
            await self._wrong.look()
            await self._outbox.publish()

    def _start(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        named = f"{what}:{self.name}"
        self._tasks.add(asyncio.create_task(keep_running(named, run, self._clock, self._random)))
