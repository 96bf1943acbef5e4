"""Keeps an exchange's symbols as a rule wants them: by quote currency, by name, the most traded ones."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from decimal import Decimal
from random import Random
from typing import Final

import msgspec
import structlog

from bus.clock import SECOND, Clock
from bus.errors import BusUnavailable, ExchangeUnavailable, MalformedFrame, RequestRefused
from bus.handler import StateStore
from daemon.collectors.interface import Collector
from daemon.config import Selection
from daemon.exchanges.base import Instrument
from daemon.resilience.backoff import Backoff

log = structlog.get_logger(__name__)

STAYING: Final = Decimal("1.2")
"""How many times its volume a symbol must exceed to replace one that was chosen before: lists must not flap."""
LOOK: Final = 1.0
FOLLOW: Final = 5.0
"""Seconds between two looks at what the process whose turn it is has chosen."""
JITTER: Final = 0.1
_STATE: Final = "selection"
_TROUBLE: Final = (ExchangeUnavailable, RequestRefused, MalformedFrame, BusUnavailable)


class Choice(msgspec.Struct, frozen=True):
    """What a rule chose and when (ns); kept with the bus: a restart, and whoever takes over, goes on with it."""

    rule: str
    at: int
    symbols: tuple[str, ...]


def choose(
    rule: Selection, instruments: Collection[Instrument], volumes: Mapping[str, Decimal], present: Collection[str]
) -> tuple[str, ...]:
    """Return the symbols that a rule means; those of `present` have an advantage in volume."""
    fitting = [one.symbol for one in instruments if one.active and _fits(rule, one)]
    if rule.top is not None:

        def rank(symbol: str) -> tuple[Decimal, str]:
            return -volumes.get(symbol, Decimal(0)) * (STAYING if symbol in present else 1), symbol

        fitting = sorted(fitting, key=rank)[: rule.top]
    return tuple(sorted(fitting))


def _fits(rule: Selection, instrument: Instrument) -> bool:
    return (not rule.quotes or instrument.quote in rule.quotes) and (
        not rule.pattern or re.fullmatch(rule.pattern, instrument.symbol) is not None
    )


class Selector:
    """One exchange's rule at work. `apply` has the chosen symbols delivered."""

    def __init__(
        self, collector: Collector, rule: Selection, state: StateStore,
        apply: Callable[[tuple[str, ...]], Awaitable[None]], clock: Clock, random: Random,
    ) -> None:  # fmt: skip
        self._collector = collector
        self._rule = rule
        self._named = rule.model_dump_json(exclude={"interval"})
        self._state = state
        self._apply = apply
        self._clock = clock
        self._random = random

    async def run(self) -> None:
        """Choose anew at every interval until cancelled; who stands by follows what the other process has chosen."""
        backoff = Backoff(self._random, first=5.0, longest=300.0, least=1.0)
        jitter = self._random.uniform(1 - JITTER, 1 + JITTER)
        choice: Choice | None = None
        recalled = False
        while True:
            try:
                if not recalled or not self._collector.publishing:
                    choice = await self._recall() or choice
                    recalled = True
                elif self._collector.loaded and self._age(choice) >= self._rule.interval * jitter:
                    choice = await self._renew(choice)
                    jitter = self._random.uniform(1 - JITTER, 1 + JITTER)
                backoff.reset()
            except _TROUBLE as error:
                log.warning("symbols not chosen anew", exchange=self._collector.name, reason=str(error))
                await self._clock.sleep(backoff.next())
                continue
            if choice is not None:
                await self._apply(choice.symbols)
            await self._clock.sleep(LOOK if self._collector.publishing else FOLLOW)

    def _age(self, choice: Choice | None) -> float:
        """Return the seconds since a choice was made."""
        return float("inf") if choice is None else (self._clock.now() - choice.at) / SECOND

    async def _renew(self, before: Choice | None) -> Choice:
        """Choose by what is listed and traded now; what would leave nothing at all is not believed."""
        present = before.symbols if before else ()
        volumes = await self._collector.volumes() if self._rule.top else {}
        symbols = choose(self._rule, self._collector.listing.instruments.values(), volumes, present)
        name, more, fewer = self._collector.name, set(symbols) - set(present), set(present) - set(symbols)
        if not symbols:
            log.warning("the rule means no symbol that is listed", exchange=name, kept=len(present))
        elif more or fewer:
            log.info("symbols chosen", exchange=name, count=len(symbols), more=sorted(more), fewer=sorted(fewer))
        choice = Choice(self._named, self._clock.now(), symbols or present)
        await self._state.save(_STATE, {name: msgspec.json.encode(choice)})
        return choice

    async def _recall(self) -> Choice | None:
        """Return what this rule chose last, in whichever process. Raises BusUnavailable."""
        kept = (await self._state.load(_STATE)).get(self._collector.name)
        choice = msgspec.json.decode(kept, type=Choice) if kept else None
        return choice if choice is not None and choice.rule == self._named else None
