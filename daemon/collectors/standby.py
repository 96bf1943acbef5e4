"""What a process keeps while another one publishes the same feeds, so that the seam of a take-over has no hole."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from bus.clock import SECOND, Clock
from bus.events import AnyMarketEvent, Book, Breaker, Candle, Event, MarketEvent, Trade

KEPT: Final = 15 * SECOND
"""How far back events are kept (ns): the lease's time to live, its renewal, and much to spare."""
MOST: Final = 300_000
"""Events kept at most."""

_Key = tuple[type, str, str]


class Seam(msgspec.Struct, frozen=True):
    """What to publish at a take-over, and the first event of each feed before which something may be missing."""

    events: Sequence[AnyMarketEvent]
    torn: Sequence[AnyMarketEvent]


class Standby:
    """The newest events of every feed, in the order received."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[AnyMarketEvent] = deque(maxlen=MOST)
        self._breakers: dict[str, Breaker] = {}

    @property
    def since(self) -> int:
        """How far back it reaches (ns)."""
        return self._clock.now() - KEPT

    def add(self, events: Iterable[Event]) -> None:
        """Keep market events, and how our breakers stand: who takes over works with them.

        What else happens to our own connections concerns nobody while another process publishes.
        """
        for event in events:
            if isinstance(event, MarketEvent):
                self._events.append(event)
            elif type(event) is Breaker:
                self._breakers[event.kind] = event
        oldest = self.since
        while self._events and self._events[0].recv < oldest:
            self._events.popleft()

    @property
    def breakers(self) -> list[Breaker]:
        """The last change of each breaker."""
        return [*self._breakers.values()]

    def after(self, published: Sequence[Event]) -> Seam:
        """Return what comes after the last published event of each feed: both have the exchange's order.

        Where that one is not among ours the feed is torn, and what was received later is taken.
        """
        last: dict[_Key, MarketEvent] = {_key(event): event for event in published if isinstance(event, MarketEvent)}
        cuts: dict[_Key, int] = {}
        for position, event in enumerate(self._events):
            before = last.get(_key(event))
            if before is not None and _same(event, before):
                cuts[_key(event)] = position
        events: list[AnyMarketEvent] = []
        torn: dict[_Key, AnyMarketEvent] = {}
        for position, event in enumerate(self._events):
            key = _key(event)
            before = last.get(key)
            if before is None or position > cuts.get(key, len(self._events)):
                events.append(event)
            elif key not in cuts and event.recv > before.recv:
                events.append(event)
                torn.setdefault(key, event)
        return Seam(events, list(torn.values()))


def _key(event: MarketEvent) -> _Key:
    return type(event), event.symbol, event.timeframe if isinstance(event, Candle) else ""


def _same(one: MarketEvent, other: MarketEvent) -> bool:
    """Whether two processes made these events of one frame."""
    if isinstance(one, Trade) and isinstance(other, Trade):
        return one.id == other.id
    if isinstance(one, Book) and isinstance(other, Book) and one.last_id is not None:
        return one.last_id == other.last_id
    return _content(one) == _content(other)


def _content(event: MarketEvent) -> list[object]:
    """Return everything but when and how we received it."""
    return [getattr(event, name) for name in event.__struct_fields__ if name not in ("recv", "source")]
