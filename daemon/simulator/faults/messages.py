"""What happens to single messages: functions from a message's text to the texts that are sent in its place."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, Final, Protocol

from bus.clock import Clock
from daemon.simulator.faults.specs import (
    BrokenChain,
    ClockSkew,
    Corrupt,
    CrossedBook,
    Drop,
    Duplicate,
    MessageFault,
    Mute,
    Reorder,
    Replace,
    Slow,
    Truncate,
)
from daemon.simulator.market import Market

_TIME: Final = re.compile(r'"(E)":(\d+)')
_TIMES_OF_TRADE: Final = re.compile(r'"([ET])":(\d+)')
_TRADES: Final = ('{"e":"trade"', '{"e":"aggTrade"')
_BIDS: Final = re.compile(r'"b":\[(\]?)')
_FIRST_ID: Final = re.compile(r'"U":(\d+)')
CROSSED_BY: Final = 5
"""Ticks between the best ask and a bid that should not be there."""

CHANNELS: Final = {
    "trade": re.compile(r"@(trade|aggTrade)$"),
    "ticker": re.compile(r"@(bookTicker|ticker|miniTicker)$"),
    "book": re.compile(r"@depth(@\d+ms)?$"),
    "candle": re.compile(r"@kline_"),
}
"""The streams that make up a channel, by their names. (Those of the best levels only belong to none.)"""

Change = Callable[[str], Iterable[str]]


class Tampering(Protocol):
    """Changes the messages of one stream while a fault lasts."""

    def __call__(self, text: str) -> Iterable[str]:
        """Return what is sent in place of a message."""
        ...

    def due(self) -> Iterable[str]:
        """Return what was held back and goes out now."""
        ...

    def lift(self) -> Iterable[str]:
        """Return everything held back: the fault is over."""
        ...


class Strikes:
    """Decides which messages a fault hits, and counts them."""

    def __init__(self, fault: MessageFault, random: Random) -> None:
        self._fault = fault
        self.random = random
        self._seen = 0
        self.fired = 0

    def hits(self) -> bool:
        """Whether the next message is hit."""
        fault = self._fault
        if fault.count is not None and self.fired >= fault.count:
            return False
        self._seen += 1
        if self._seen % fault.every or self.random.random() >= fault.probability:
            return False
        self.fired += 1
        return True


class Changing:
    """Hits messages one by one."""

    def __init__(self, strikes: Strikes, change: Change) -> None:
        self._strikes = strikes
        self._change = change

    def __call__(self, text: str) -> Iterable[str]:
        """Return the message as it is, or what becomes of it."""
        return self._change(text) if self._strikes.hits() else (text,)

    def due(self) -> Iterable[str]:
        """Return nothing: nothing is held back."""
        return ()

    lift = due


class Reordering:
    """Holds a message back until the next one has passed."""

    def __init__(self, strikes: Strikes) -> None:
        self._strikes = strikes
        self._held: str | None = None

    def __call__(self, text: str) -> Iterable[str]:
        """Return the message followed by the one held, or hold this one."""
        held, self._held = self._held, None
        if held is not None:
            return (text, held)
        if self._strikes.hits():
            self._held = text
            return ()
        return (text,)

    def due(self) -> Iterable[str]:
        """Return nothing: only the next message brings it on."""
        return ()

    def lift(self) -> Iterable[str]:
        """Return the message that is still held."""
        held, self._held = self._held, None
        return () if held is None else (held,)


class Delaying:
    """Holds messages back for a time; those behind a late one wait too."""

    def __init__(self, strikes: Strikes, delay: float, clock: Clock) -> None:
        self._strikes = strikes
        self._delay = delay
        self._clock = clock
        self._held: deque[tuple[float, str]] = deque()

    def __call__(self, text: str) -> Iterable[str]:
        """Hold the message, or return it."""
        if self._strikes.hits():
            self._held.append((self._clock.monotonic() + self._delay, text))
        elif self._held:
            self._held.append((self._held[-1][0], text))
        else:
            return (text,)
        return ()

    def due(self) -> Iterator[str]:
        """Yield what has waited long enough."""
        now = self._clock.monotonic()
        while self._held and self._held[0][0] <= now:
            yield self._held.popleft()[1]

    def lift(self) -> Iterator[str]:
        """Yield all that is held."""
        while self._held:
            yield self._held.popleft()[1]


def _corrupt(text: str, random: Random) -> str:
    """Put a control character somewhere: it is allowed nowhere in JSON, so that no reader may take the message."""
    place = random.randrange(max(1, len(text)))
    return f"{text[:place]}\x01{text[place + 1 :]}"


def _skew(text: str, seconds: float) -> str:
    times = _TIMES_OF_TRADE if text.startswith(_TRADES) else _TIME
    return times.sub(lambda match: f'"{match[1]}":{int(match[2]) + round(seconds * 1_000)}', text)


def _break(text: str) -> str:
    return _FIRST_ID.sub(lambda found: f'"U":{int(found[1]) + 1}', text)


def _cross(text: str, market: Market) -> str:
    """Add a bid above the best ask, also to a message that another fault has spoilt."""
    _, _, ask, lots = market.best()
    bid = f'["{market.price(ask + CROSSED_BY)}","{market.amount(lots or 1)}"]'
    return _BIDS.sub(lambda found: f'"b":[{bid}]' if found[1] else f'"b":[{bid},', text, count=1)


_CHANGES: Final[dict[type[MessageFault], Callable[[Any, Market, Random], Change]]] = {
    Drop: lambda *_: lambda _: (),
    Mute: lambda *_: lambda _: (),
    Duplicate: lambda *_: lambda text: (text, text),
    Corrupt: lambda _fault, _market, random: lambda text: (_corrupt(text, random),),
    Truncate: lambda _fault, _market, random: lambda text: (text[: random.randrange(1, max(2, len(text)))],),
    Replace: lambda fault, *_: lambda _: (fault.text * fault.times,),
    ClockSkew: lambda fault, *_: lambda text: (_skew(text, fault.skew),),
    BrokenChain: lambda *_: lambda text: (_break(text),),
    CrossedBook: lambda _fault, market, _random: lambda text: (_cross(text, market),),
}


def tampering(fault: MessageFault, strikes: Strikes, market: Market, clock: Clock) -> Tampering:
    """Return what a fault does to the messages of one stream."""
    if isinstance(fault, Reorder):
        return Reordering(strikes)
    if isinstance(fault, Slow):
        return Delaying(strikes, fault.delay, clock)
    return Changing(strikes, _CHANGES[type(fault)](fault, market, strikes.random))
