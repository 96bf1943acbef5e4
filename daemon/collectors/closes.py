"""Asks for candles after each close, instead of having every change of them streamed."""

from collections.abc import AsyncIterator, Callable, Sequence
from math import inf
from random import Random
from typing import Final, TypeAlias

import structlog
from msgspec.structs import replace

from bus import timeframes
from bus.clock import SECOND, Clock
from bus.errors import BusUnavailable, ExchangeUnavailable, MalformedFrame, RequestRefused
from bus.events import Candle
from bus.handler import StateStore
from daemon.collectors.board import FeedBoard
from daemon.collectors.outbox import Outbox
from daemon.exchanges.base import FeedKey, Span, Translated
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

SETTLING: Final = 2.0
"""Seconds after a close from which on most exchanges' history has the candle."""
SPREAD: Final = 3.0
"""Seconds over which feeds that close together are asked for, so that they do not ask in step."""
FARTHEST: Final = 30 * 86_400 * SECOND
"""Time (ns) that is caught up with after a downtime; what is older is a gap like any other."""
_DAY: Final = 86_400 * SECOND
_RETRY: Final = 2.0
_LONGEST_RETRY: Final = 600.0

History: TypeAlias = Callable[[FeedKey, Span], AsyncIterator[Sequence[Translated]]]


def until_close(timeframe: str, now: int) -> float:
    """Return the seconds until the running candle ends; infinity where exchanges differ in when that is, or ""."""
    length = timeframes.following(timeframe, 0)
    return (length - now % length) / SECOND if 0 < length <= _DAY else inf


class ClosePoller:
    """Polls candle feeds of one exchange at their closes, each by a task that its owner runs.

    How far each has come is kept with the bus, so that what closed during a downtime is asked for first. `history`
    raises ExchangeUnavailable, RequestRefused, MalformedFrame.
    """

    def __init__(
        self, exchange: str, history: History, board: FeedBoard, outbox: Outbox, state: StateStore,
        clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._history = history
        self._board = board
        self._outbox = outbox
        self._state = state
        self._clock = clock
        self._random = random

    async def run(self, feed: FeedKey) -> None:
        """Poll one feed until cancelled. A candle that is not there yet is asked for again, each time later."""
        length = timeframes.following(feed.timeframe, 0)
        longest = min(max(length / SECOND / 10, 2 * _RETRY), _LONGEST_RETRY)
        backoff = Backoff(self._random, _RETRY, longest, least=_RETRY / 4)
        newest = await self._recall(feed, self._clock.now() - 3 * length)
        while True:
            before, newest = newest, await self._poll(feed, newest)
            if newest > before:
                backoff.reset()
            close = timeframes.following(feed.timeframe, timeframes.following(feed.timeframe, newest))
            wait = (close - self._clock.now()) / SECOND
            await self._clock.sleep(wait + SETTLING + self._random.uniform(0, SPREAD) if wait > 0 else backoff.next())

    async def _poll(self, feed: FeedKey, newest: int) -> int:
        """Publish what has closed after the candle of `newest`; return the open time (ns) of the last one."""
        now = self._clock.now()
        span = Span(max(timeframes.following(feed.timeframe, newest), now - FARTHEST), now)
        try:
            async for page in self._history(feed, span):
                closed = [replace(e, source="rest") for e in page if isinstance(e, Candle) and e.closed]
                await self._outbox.publish([candle for candle in closed if candle.open_ts > newest])
                newest = max([newest, *(candle.open_ts for candle in closed)])
                await self._remember(feed, newest)
        except (ExchangeUnavailable, RequestRefused, MalformedFrame) as error:
            log.warning("poll failed", exchange=self._exchange, symbol=feed.symbol, reason=str(error))
            self._board.down([feed], str(error))
        else:
            self._board.answered(feed)
        await self._outbox.publish()
        return newest

    async def _recall(self, feed: FeedKey, otherwise: int) -> int:
        """Return how far an earlier life has come. Raises BusUnavailable."""
        kept = (await self._state.load(f"closes:{self._exchange}")).get(_named(feed))
        return int(kept) if kept else otherwise

    async def _remember(self, feed: FeedKey, newest: int) -> None:
        if not self._outbox.publishing:
            return  # what another process publishes it also remembers
        try:
            await self._state.save(f"closes:{self._exchange}", {_named(feed): str(newest).encode()})
        except BusUnavailable as error:
            log.warning("cannot note how far a poll has come", exchange=self._exchange, reason=str(error))


def _named(feed: FeedKey) -> str:
    return f"{feed.symbol}|{feed.timeframe}"
