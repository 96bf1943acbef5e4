"""The gaps of one exchange that wait to be healed; kept next to the bus, so that a restart forgets none."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

import msgspec

from bus import metrics
from bus.clock import Clock
from bus.events import Gap
from bus.handler import StateStore
from daemon.healing.checks import minutes
from daemon.resilience.backoff import Backoff

LONGEST_PAUSE: Final = 600.0
"""Seconds at most between two attempts at one gap."""
LOOK: Final = 0.5
REFRESH: Final = 2.0
"""Seconds between two looks at what is saved: the process that hears of gaps may be another one."""
PAGE: Final = 1_000
"""Ids that gaps healed together reach over: a page of history, or a few."""
MOST_TOGETHER: Final = 100


@dataclass
class Waiting:
    """A gap and when it may be tried again (monotonic seconds)."""

    gap: Gap
    backoff: Backoff
    not_before: float = 0.0
    begun: bool = False
    """Whether somebody has begun to heal it."""


class GapQueue:
    """Newest gaps first: what happened just now matters most, and exchanges keep the newest trades longest."""

    def __init__(self, exchange: str, state: StateStore, clock: Clock, random: Random) -> None:
        self.exchange = exchange
        self._state = state
        self._clock = clock
        self._random = random
        self._waiting: dict[str, Waiting] = {}
        self._refreshed = -inf

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def _key(self) -> str:
        return f"healing.{self.exchange}"

    async def _refresh(self) -> None:
        """Take up what the last life has left, and what another process has noted or settled."""
        self._refreshed = self._clock.monotonic()
        saved = await self._state.load(self._key)
        for name in self._waiting.keys() - saved.keys():
            del self._waiting[name]
        for value in saved.values():
            self._put(msgspec.msgpack.decode(value, type=Gap))

    async def note(self, gaps: Iterable[Gap]) -> None:
        """Take note of gaps of this exchange: open ones wait, settled ones do not. Raises BusUnavailable."""
        changes = {gap.id: gap for gap in gaps if gap.state != "filling"}
        if changes:
            encoded = {name: msgspec.msgpack.encode(gap) * (gap.state == "open") for name, gap in changes.items()}
            await self._state.save(self._key, encoded)
        for gap in changes.values():
            if gap.state == "open":
                self._put(gap)
            else:
                self._waiting.pop(gap.id, None)
        self._count()

    async def recall(self, gaps: Iterable[Gap]) -> None:
        """Take up gaps that are known from elsewhere, where they do not wait already. Raises BusUnavailable."""
        await self._refresh()
        await self.note(gap for gap in gaps if gap.id not in self._waiting)

    def postpone(self, gap: Gap) -> None:
        """Try a gap again later: its exchange cannot be asked now."""
        waiting = self._waiting.get(gap.id)
        if waiting is not None:
            waiting.not_before = self._clock.monotonic() + waiting.backoff.next()

    def delay(self, gap: Gap, seconds: float) -> None:
        """Try a gap in so many seconds: it cannot be judged before."""
        waiting = self._waiting.get(gap.id)
        if waiting is not None:
            waiting.not_before = self._clock.monotonic() + seconds

    def begin(self, gaps: Iterable[Gap]) -> list[Gap]:
        """Return those of some gaps whose healing begins now, and not again."""
        begun = []
        for gap in gaps:
            waiting = self._waiting.get(gap.id)
            if waiting is not None and not waiting.begun:
                waiting.begun = True
                begun.append(gap)
        return begun

    def attempts(self, gap: Gap) -> int:
        """Return how often a gap has been postponed."""
        waiting = self._waiting.get(gap.id)
        return waiting.backoff.failures if waiting else 0

    async def next(self) -> list[Gap]:
        """Wait for a gap that may be tried now; return the newest, and those that one request may heal with it.

        They stay until they are settled. Raises BusUnavailable.
        """
        while True:
            now = self._clock.monotonic()
            if now - self._refreshed >= REFRESH:
                await self._refresh()
            ready = [waiting.gap for waiting in self._waiting.values() if waiting.not_before <= now]
            if ready:
                return _together(max(ready, key=lambda gap: gap.to_ts or gap.ts), ready)
            await self._clock.sleep(LOOK)

    def _put(self, gap: Gap) -> None:
        if gap.id not in self._waiting:
            self._waiting[gap.id] = Waiting(gap, Backoff(self._random, first=2.0, longest=LONGEST_PAUSE, least=1.0))
            self._count()

    def _count(self) -> None:
        metrics.GAPS_WAITING.labels(self.exchange).set(len(self._waiting))


def _together(newest: Gap, ready: Iterable[Gap]) -> list[Gap]:
    """Return a gap and those of the same trades that are healed with it at no cost: near it by id, or by time."""
    if newest.channel != "trade":
        return [newest]
    others = [gap for gap in ready if gap is not newest and (gap.symbol, gap.channel) == (newest.symbol, "trade")]
    if newest.from_id and newest.to_id:
        return _one_page(newest, int(newest.from_id), int(newest.to_id), others)
    return _same_minutes(newest, others)


def _one_page(newest: Gap, first: int, last: int, others: Iterable[Gap]) -> list[Gap]:
    """Return a gap and those that one page of history reaches over with it, or a few small ones."""
    known = [(int(gap.from_id), int(gap.to_id), gap) for gap in others if gap.from_id and gap.to_id]
    found = [newest]
    for start, end, gap in sorted(known, key=lambda other: -other[1]):
        if last - min(first, start) >= PAGE or len(found) >= MOST_TOGETHER:
            break
        if end <= last:
            first = min(first, start)
            found.append(gap)
    return found


def _same_minutes(newest: Gap, others: Iterable[Gap]) -> list[Gap]:
    """Return a gap without ids, whose minutes are refetched as a whole, and those that lie in the same minutes."""
    found = [newest]
    if (span := _by_time(newest)) is None:
        return found
    first, _ = span
    known = [(span, gap) for gap in others if (span := _by_time(gap)) is not None]
    for (start, end), gap in sorted(known, key=lambda other: -other[0][1]):
        if end <= first or len(found) >= MOST_TOGETHER:
            break
        first = min(first, start)
        found.append(gap)
    return found


def _by_time(gap: Gap) -> tuple[int, int] | None:
    """Return the whole minutes of a gap whose ends are known by time alone."""
    if gap.from_id or gap.to_id or gap.from_ts is None or gap.to_ts is None:
        return None
    return minutes(gap.from_ts, gap.to_ts)
