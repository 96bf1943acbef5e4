"""Heals the gaps of one exchange, one page of history at a time, within what the request limits leave to spare.

What is refetched is published as `backfill`, without what has been published already. A gap is `filled` when the
exchange's history proves complete, and `unfillable` with the reason when it does not.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import structlog

from bus import metrics
from bus.clock import SECOND, Clock
from bus.errors import BusUnavailable, ExchangeUnavailable, MalformedFrame, NotAsked, RequestRefused, StoreUnavailable
from bus.events import OWN_LOSS, Gap
from bus.interface import EventBus
from daemon.collectors.interface import Collector
from daemon.exchanges.base import FeedKey, Span
from daemon.healing.checks import minutes
from daemon.healing.ledger import Ledger
from daemon.healing.queue import GapQueue
from daemon.healing.repair import Part, Repair, Verdict
from handlers.gaps.wording import identity

log = structlog.get_logger(__name__)

SOON: Final = SECOND
"""Time (ns) after the end of a gap in which the newest trades of an exchange are asked for that has no others."""
SETTLING: Final = 5 * SECOND
"""Time (ns) after which an exchange's history shows what has just happened."""
ATTEMPTS: Final = 4
"""How often history that lacks something is asked: it may lag behind."""
STANDING_BY: Final = 1.0
"""Seconds between two looks while another process publishes, and heals."""
NOT_ASKED: Final = 2.0
"""Seconds between two attempts while breakers or limits stand before every request."""
STORE_AWAY: Final = 5.0
"""Seconds between two attempts to read what is left to heal."""
FLUSH_DEADLINE: Final = 30.0


class Healer:
    """Works through the queue of one exchange's gaps with that exchange's collector."""

    def __init__(self, collector: Collector, queue: GapQueue, ledger: Ledger, bus: EventBus, clock: Clock) -> None:
        self._collector = collector
        self._ledger = ledger
        self._repair = Repair(collector)
        self._queue = queue
        self._bus = bus
        self._clock = clock
        self._held_up = False
        """Whether the exchange could not be asked the last time."""

    async def run(self) -> None:
        """Heal until cancelled: first of all what the bus may have forgotten."""
        await self._recall()
        while True:
            if self._collector.publishing:
                await self._next()
            else:
                await self._clock.sleep(STANDING_BY)

    async def _recall(self) -> None:
        while True:
            try:
                return await self._queue.recall(await self._ledger.unsettled(self._queue.exchange))
            except (BusUnavailable, StoreUnavailable) as error:
                log.warning("cannot look for gaps that are left", exchange=self._queue.exchange, reason=str(error))
                await self._clock.sleep(STORE_AWAY)

    async def _next(self) -> None:
        try:
            gaps = [gap for gap in await self._queue.next() if self._is_due(gap)]
        except BusUnavailable:
            await self._clock.sleep(STANDING_BY)
            return
        if not gaps:
            return
        try:
            await self._heal(gaps)
            self._held_up = False
        except NotAsked as error:  # no gap is to blame: all of them keep their turn
            if not self._held_up:
                log.warning("healing waits", exchange=gaps[0].exchange, reason=str(error))
            self._held_up = True
            await self._clock.sleep(NOT_ASKED)
        except (ExchangeUnavailable, BusUnavailable) as error:
            log.warning("gaps not healed yet", exchange=gaps[0].exchange, symbol=gaps[0].symbol, reason=str(error))
            for gap in gaps:
                self._queue.postpone(gap)

    def _is_due(self, gap: Gap) -> bool:
        """Whether a gap can be judged; it waits for its time where it cannot."""
        early = (_end(gap) + SOON if self._is_urgent(gap) else _due(gap)) - self._clock.now()
        if early > 0:
            self._queue.delay(gap, early / SECOND)
        return early <= 0

    def _is_urgent(self, gap: Gap) -> bool:
        """Whether a gap may be healed at once or never, long before its minutes can be compared with candles."""
        by_time = gap.channel == "trade" and gap.from_id is None
        return by_time and self._collector.newest_only and self._clock.now() < _due(gap)

    async def _heal(self, gaps: list[Gap]) -> None:
        await self._bus.publish([self._now(gap, state="filling") for gap in self._queue.begin(gaps)])
        try:
            verdicts: Sequence[Verdict | None] = await self._judge(gaps)
        except (RequestRefused, MalformedFrame) as error:
            verdicts = [Verdict("unfillable", str(error))] * len(gaps)
        said: list[Gap] = []
        for gap, verdict in zip(gaps, verdicts, strict=True):
            if verdict is None:
                self._queue.delay(gap, (_due(gap) - self._clock.now()) / SECOND)
            elif verdict.state == "unfillable" and self._queue.attempts(gap) < ATTEMPTS - 1:
                self._queue.postpone(gap)
            else:
                said += self._said(gap, verdict)
        if not said:
            return
        await self._bus.publish(said)
        await self._bus.flush(FLUSH_DEADLINE)
        await self._queue.note(said)
        for gap in said:
            metrics.GAPS_HEALED.labels(gap.exchange, gap.channel, gap.state).inc()
            log.info("gap settled", exchange=gap.exchange, symbol=gap.symbol, channel=gap.channel, state=gap.state)

    async def _judge(self, gaps: list[Gap]) -> Sequence[Verdict | None]:
        """Return what became of each gap; None for one that has to wait until it can be judged."""
        gap = gaps[0]
        if gap.channel == "trade" and gap.from_id and gap.to_id:
            ranges = [(int(each.from_id or 0), int(each.to_id or 0)) for each in gaps]
            return await self._repair.trades_by_id(gap.symbol, _cover(gaps), ranges)
        parts = [
            Part(Span(each.from_ts, each.to_ts, each.from_id, each.to_id), again=_is_own_loss(each))
            for each in gaps
            if each.from_ts is not None and each.to_ts is not None
        ]
        if not parts:
            return [Verdict("unfillable", "nobody knows when it began and ended")]
        feeds = self._feeds(gap)
        if not feeds:
            return [Verdict("unfillable", f"there is no history of {gap.channel} messages to ask for")]
        verdicts = [await self._of_feed(gap, feed, parts) for feed in feeds]
        return [_worst(of_gap) for of_gap in zip(*verdicts, strict=True)]

    def _feeds(self, gap: Gap) -> list[FeedKey]:
        """Return the feeds that a gap is about and that have a history; `*` means every symbol."""
        if gap.channel not in {"trade", "candle"}:
            return []
        timeframe = gap.reason.partition(":")[0] if gap.channel == "candle" else ""
        if gap.symbol != "*":
            return [FeedKey(gap.symbol, gap.channel, timeframe)]
        return [feed for feed in self._collector.feeds if feed.channel == gap.channel]

    async def _of_feed(self, gap: Gap, feed: FeedKey, parts: Sequence[Part]) -> Sequence[Verdict | None]:
        """Return what became of one feed's part of each gap; `gap` is the newest of them."""
        if feed.channel == "candle":
            return [await self._repair.candles(feed, part.span) for part in parts]
        if self._is_urgent(gap):
            return await self._repair.trades_by_reach(feed.symbol, parts)
        return await self._repair.trades_by_volume(feed.symbol, parts)

    def _said(self, gap: Gap, verdict: Verdict) -> Iterator[Gap]:
        """Word a verdict. Where only a part cannot be had, that part is told as gaps of its own."""
        whole = verdict.missing == [(int(gap.from_id or 0), int(gap.to_id or 0))]
        if not verdict.missing or whole:
            yield self._now(gap, state=verdict.state, reason=f"{gap.reason}; {verdict.reason}")
            return
        yield self._now(gap, state="filled", reason=f"{gap.reason}; {verdict.reason}, told as gaps of their own")
        for first, last in verdict.missing:
            own = identity(("trade", gap.exchange, gap.symbol, ""), first, last)
            yield self._now(
                gap, id=own, from_id=str(first), to_id=str(last), state="unfillable",
                reason=f"{last - first + 1} trades missing by id; the exchange's history lacks them",
            )  # fmt: skip

    def _now(self, gap: Gap, **changes: str) -> Gap:
        return msgspec.structs.replace(gap, ts=self._clock.now(), **changes)


def _cover(gaps: list[Gap]) -> Span:
    """Return the span that reaches over gaps whose ids are known."""
    starts = [gap.from_ts if gap.from_ts is not None else gap.ts for gap in gaps]
    ends = [gap.to_ts if gap.to_ts is not None else gap.ts for gap in gaps]
    first, last = min(int(gap.from_id or 0) for gap in gaps), max(int(gap.to_id or 0) for gap in gaps)
    return Span(min(starts), max(ends), str(first), str(last))


def _is_own_loss(gap: Gap) -> bool:
    """Whether what is missing may count as published here: it was lost later."""
    return gap.symbol == "*" or gap.reason.startswith(OWN_LOSS)


def _worst(verdicts: Sequence[Verdict | None]) -> Verdict | None:
    """Return what keeps a gap from being filled in all of its feeds, if anything does."""
    return next((verdict for verdict in verdicts if verdict is None or verdict.state != "filled"), verdicts[0])


def _end(gap: Gap) -> int:
    return gap.ts if gap.to_ts is None else gap.to_ts


def _due(gap: Gap) -> int:
    """Return when a gap can be judged (ns): its minutes are over and the exchange's history has caught up."""
    end = _end(gap)
    if gap.channel == "trade" and gap.from_id is None:
        _, end = minutes(end, end)
    return end + SETTLING
