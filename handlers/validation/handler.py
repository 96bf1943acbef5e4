"""The subscriber: runs the rules over every event, bounds how often one is told, and scores each feed's hour."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from bus import metrics
from bus.clock import SECOND
from bus.events import AnyMarketEvent, Book, Candle, Event, MarketEvent, Quality, Trade, event_type
from bus.handler import Batch, Handler
from handlers.validation.memory import SymbolMemory
from handlers.validation.rules import OTHERS, RULES, Rule, remember
from handlers.validation.score import Hour

HOUR: Final = 3_600 * SECOND
MINUTE: Final = 60 * SECOND
TOLD_ONE_BY_ONE: Final = 5
"""Findings of one rule on one feed and minute that get an event each; more are told as a number."""
SETTLED: Final = 5 * SECOND
"""An hour is scored this long after its end, when what was under way has come."""


class FeedName(NamedTuple):
    """A feed as quality events name it."""

    exchange: str
    symbol: str
    channel: str


class _Told:
    """How often one rule has spoken on one feed within the present minute."""

    __slots__ = ("count", "minute")

    def __init__(self) -> None:
        self.minute = 0
        self.count = 0


class ValidationHandler(Handler):
    """Flags suspicious events. Time is the events' own receive time, so a replay gives the same flags."""

    name = "validation"
    together = "exchange"
    pace = 0.05

    def __init__(self) -> None:
        self._memories: defaultdict[tuple[str, str], SymbolMemory] = defaultdict(SymbolMemory)
        self._hours: dict[FeedName, Hour] = {}
        self._told: defaultdict[tuple[FeedName, Rule], _Told] = defaultdict(_Told)
        self._feeds: dict[tuple[str, str, type], FeedName] = {}

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Look at every event; return what is suspicious about them."""
        found: list[Quality] = []
        for event in batch.events:
            if isinstance(event, MarketEvent):
                self._check(event, found)
        return found

    async def tick(self, now: int) -> Sequence[Event]:
        """Score the hours that are over, and tell what was only counted."""
        found: list[Quality] = []
        for feed, hour in list(self._hours.items()):
            if (hour.start + 1) * HOUR + SETTLED <= now:
                found.append(self._score(feed, hour))
                del self._hours[feed]
        for (feed, rule), told in list(self._told.items()):
            if now // MINUTE > told.minute:
                found += self._rest(feed, rule, told)
                del self._told[feed, rule]
        return found

    def _feed(self, event: MarketEvent) -> FeedName:
        key = (event.exchange, event.symbol, type(event))
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = FeedName(event.exchange, event.symbol, event_type(event))
        return feed

    def _check(self, event: AnyMarketEvent, found: list[Quality]) -> None:
        feed = self._feed(event)
        memory = self._memories[event.exchange, event.symbol]
        hour = self._hours.get(feed)
        if hour is None or event.recv // HOUR > hour.start:
            if hour is not None:
                found.append(self._score(feed, hour))
            hour = self._hours[feed] = Hour(event.recv // HOUR)
        hour.events += 1
        for rule in RULES.get(type(event), OTHERS):
            detail = rule.check(event, memory)
            if detail is not None:
                hour.flags[rule.name, rule.severity] += 1
                metrics.QUALITY_FLAGS.labels(rule.name, rule.severity).inc()
                self._tell(feed, rule, event, detail, found)
        remember(event, memory)

    def _tell(self, feed: FeedName, rule: Rule, event: MarketEvent, detail: str, found: list[Quality]) -> None:
        told = self._told[feed, rule]
        minute = event.recv // MINUTE
        if minute > told.minute:
            found += self._rest(feed, rule, told)
            told.minute, told.count = minute, 0
        told.count += 1
        if told.count <= TOLD_ONE_BY_ONE:
            found.append(Quality(event.recv, *feed, rule.name, rule.severity, reference(event), detail))

    def _rest(self, feed: FeedName, rule: Rule, told: _Told) -> list[Quality]:
        """What a flood of one rule's findings comes down to."""
        more = told.count - TOLD_ONE_BY_ONE
        if more <= 0:
            return []
        end = (told.minute + 1) * MINUTE
        return [Quality(end, *feed, rule.name, rule.severity, f"minute:{told.minute}", f"{more} more within a minute")]

    def _score(self, feed: FeedName, hour: Hour) -> Quality:
        metrics.QUALITY_SCORE.labels(feed.exchange, feed.channel).set(hour.score)
        flags = {name: count for (name, _), count in sorted(hour.flags.items())}
        detail = msgspec.json.encode({"score": round(hour.score, 6), "events": hour.events, "flags": flags}).decode()
        return Quality((hour.start + 1) * HOUR, *feed, "score", "info", f"hour:{hour.start}", detail)


def reference(event: MarketEvent) -> str:
    """Return what names an event for a person who looks for it."""
    if type(event) is Trade:
        return f"trade:{event.id}"
    if type(event) is Book and event.last_id is not None:
        return f"book:{event.last_id}"
    if type(event) is Candle:
        return f"candle:{event.timeframe}:{event.open_ts}"
    return f"recv:{event.recv}"
