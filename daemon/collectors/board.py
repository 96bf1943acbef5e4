"""The state of every feed of one exchange: who delivers, who fell silent, and the `Feed` events that tell."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

import structlog

from bus import metrics
from bus.clock import Clock
from bus.errors import BusUnavailable
from bus.events import MARKET_EVENTS, Candle, Feed, FeedState
from daemon.collectors.outbox import Outbox
from daemon.collectors.watch import FeedWatch
from daemon.exchanges.base import FeedKey, Translated

log = structlog.get_logger(__name__)

FAREWELL: Final = 2.0
"""Seconds for the last feed states to reach the bus when a collector stops."""
_Identity = tuple[str, type | str]
_CLASSES: dict[str, type] = {str(kind.__struct_config__.tag): kind for kind in MARKET_EVENTS}


def _identity(feed: FeedKey) -> _Identity:
    """What an event shows of its feed: symbol and class, or symbol and timeframe of a candle."""
    return feed.symbol, feed.timeframe or _CLASSES.get(feed.channel, feed.channel)


class FeedBoard:
    """The one owner of feed states. Whoever changes one calls `outbox.publish` afterwards, so that it is told."""

    def __init__(self, exchange: str, outbox: Outbox, clock: Clock) -> None:
        self._exchange = exchange
        self._outbox = outbox
        self._clock = clock
        self._by_event: dict[_Identity, FeedWatch] = {}
        self._live = 0
        self.watches: dict[FeedKey, FeedWatch] = {}

    def add(self, feeds: Iterable[FeedKey], purpose: str = "") -> None:
        """Begin to watch feeds; they count as connecting. A purpose is told with their states."""
        for feed in feeds:
            watch = self.watches[feed] = self._by_event[_identity(feed)] = FeedWatch(feed)
            watch.purpose = watch.reason = purpose
            self._tell(watch)

    def remove(self, feeds: Iterable[FeedKey]) -> None:
        """Stop watching feeds: nobody wants them any more."""
        for feed in feeds:
            if self.watches.get(feed) is not None:
                self.down([feed], "not wanted any more")
                del self.watches[feed], self._by_event[_identity(feed)]

    def connecting(self, feeds: Iterable[FeedKey]) -> None:
        """Say that a connection is open and about to subscribe to feeds that nobody delivers."""
        for watch in self._of(feeds):
            if watch.state == "down":
                self._enter(watch, "connecting", watch.purpose)

    def subscribed(self, feeds: Iterable[FeedKey]) -> None:
        """Say that the subscriptions have just been sent: from now on these feeds owe data."""
        now = self._clock.monotonic()
        for watch in self._of(feeds):
            watch.subscribed = now

    def seen(self, events: Sequence[Translated]) -> set[FeedKey]:
        """Note the data that has come, and return the feeds that it belongs to."""
        identities: set[_Identity] = {(event.symbol, event.__class__) for event in events}
        if any(kind is Candle for _, kind in identities):
            identities |= {(event.symbol, event.timeframe) for event in events if event.__class__ is Candle}
        return self._delivered(watch for what in identities if (watch := self._by_event.get(what)) is not None)

    def wants(self, event: Translated) -> bool:
        """Tell whether an event belongs to a feed that is watched."""
        return (event.symbol, event.__class__) in self._by_event

    def answered(self, feed: FeedKey) -> None:
        """Say that a polled feed has been answered, whether or not there was news in it."""
        self._delivered(self._of([feed]))

    def down(self, feeds: Iterable[FeedKey], reason: str) -> None:
        """Say that nobody delivers these feeds, and why."""
        for watch in self._of(feeds):
            watch.ended()
            self._enter(watch, "down", reason)

    def refused(self, feeds: Iterable[FeedKey], reason: str) -> None:
        """Say that the exchange refused these feeds; they are asked for again when they would be stale."""
        for watch in self._of(feeds):
            if watch.state != "live":
                self._enter(watch, "down", reason)

    def stale(self, feeds: Iterable[FeedKey]) -> list[FeedWatch]:
        """Return the feeds that have been silent for longer than they normally are; they owe nothing from now on."""
        if self._outbox.held:
            return []  # it is we who do not listen
        now, resumed = self._clock.monotonic(), self._outbox.resumed
        found = [watch for watch in self._of(feeds) if watch.is_stale(now, resumed)]
        for watch in found:
            metrics.STALE.labels(self._exchange, watch.key.channel).inc()
            if watch.state != "down":
                self._enter(watch, "stale", f"no data for {watch.allowed:.0f} s")
            watch.subscribed = None
            watch.tries += 1
        return found

    def age(self, watch: FeedWatch) -> float | None:
        """Return the seconds since a feed's last data, None while there is none."""
        return None if watch.last is None else self._clock.monotonic() - watch.last

    def report(self) -> list[dict[str, Any]]:
        """Return what the `status` command says of each feed: plain values, ages in seconds."""
        return [
            {
                "symbol": watch.key.symbol,
                "channel": watch.key.channel,
                "timeframe": watch.key.timeframe,
                "state": watch.state,
                "age": self.age(watch),
                "reason": watch.reason,
            }
            for watch in self.watches.values()
        ]

    async def farewell(self) -> None:
        """Tell the bus that nobody delivers any feed any more: whoever finds gaps needs the moment."""
        try:
            async with asyncio.timeout(FAREWELL):
                self.down(list(self.watches), "stopped")
                await self._outbox.publish()
        except (TimeoutError, BusUnavailable) as error:
            log.warning("the last feed states did not reach the bus", exchange=self._exchange, reason=str(error))

    def _of(self, feeds: Iterable[FeedKey]) -> list[FeedWatch]:
        return [watch for feed in feeds if (watch := self.watches.get(feed)) is not None]

    def _delivered(self, watches: Iterable[FeedWatch]) -> set[FeedKey]:
        now, resumed = self._clock.monotonic(), self._outbox.resumed
        keys = set()
        for watch in watches:
            watch.data(now, resumed)
            keys.add(watch.key)
            if watch.state != "live":
                self._enter(watch, "live", watch.purpose)
        return keys

    def _enter(self, watch: FeedWatch, state: FeedState, reason: str) -> None:
        if (watch.state, watch.reason) == (state, reason):
            return
        self._live += (state == "live") - (watch.state == "live")
        metrics.FEEDS_LIVE.labels(self._exchange).set(self._live)
        watch.state, watch.reason = state, reason
        self._tell(watch)

    def _tell(self, watch: FeedWatch) -> None:
        feed = watch.key
        channel = f"{feed.channel}:{feed.timeframe}" if feed.timeframe else feed.channel
        self._outbox.say(
            Feed(self._clock.now(), self._exchange, feed.symbol, channel, watch.state, watch.reason)
        )  # fmt: skip
