"""All faults: those that wait for their time, those at work, and how often each has struck."""

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, Final, Literal

from bus.clock import Clock
from bus.errors import UsageError
from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.faults.effects import Answering, Dropping, Effect, World, begin
from daemon.simulator.faults.specs import AnyFault, SymbolFault

REMEMBERED: Final = 10_000
"""Faults that are kept in the list, over or not."""


class Entry:
    """One fault and how far it is."""

    def __init__(self, number: int, fault: AnyFault) -> None:
        self.number = number
        self.fault = fault
        self.state: Literal["waiting", "active", "over"] = "waiting"
        self.effect: Effect | None = None

    def told(self) -> dict[str, Any]:
        """Say everything about it, for the control endpoint."""
        return {
            "id": self.number,
            "state": self.state,
            "fired": self.effect.fired if self.effect else 0,
            **self.fault.model_dump(exclude_none=True),
        }


class FaultBoard:
    """Begins and ends faults as time passes; the one owner of what is wrong with the exchange."""

    def __init__(self, exchange: SimulatedExchange, clock: Clock, random: Random) -> None:
        self._world = World(exchange, clock, random)
        self._clock = clock
        self._entries: dict[int, Entry] = {}
        self._active: dict[int, Effect] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        """Tells acts of one moment apart: they happen in the order of their making."""
        self._numbers = count(1)

    def check(self, fault: AnyFault) -> None:
        """Raise ConfigError where a fault concerns a symbol that is not traded here."""
        if isinstance(fault, SymbolFault):
            self._world.markets(fault)

    def add(self, fault: AnyFault) -> int:
        """Let a fault begin, now or when its time has come; return its number. Raises ConfigError, UsageError."""
        self.check(fault)
        if len(self._entries) >= REMEMBERED:
            raise UsageError(f"there are {REMEMBERED} faults already; lift them with DELETE /control/faults")
        entry = Entry(next(self._numbers), fault)
        self._entries[entry.number] = entry
        self._later(fault.after, lambda: self._begin(entry))
        self.pass_time()
        return entry.number

    def lift(self, number: int) -> None:
        """End a fault, or let it never begin. Raises UsageError when there is none of this number."""
        if number not in self._entries:
            raise UsageError(f"there is no fault {number}")
        self._end(self._entries[number])

    def clear(self) -> None:
        """Lift and forget all."""
        for entry in self._entries.values():
            self._end(entry)
        self._entries.clear()

    def list(self) -> "list[dict[str, Any]]":
        """Return all faults in the order of their numbers."""
        return [entry.told() for entry in self._entries.values()]

    def pass_time(self) -> None:
        """Begin and end what is due."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        for effect in list(self._active.values()):
            effect.due()

    def answer(self, path: str) -> Answering | None:
        """Return the fault that a request runs into."""
        for effect in self._active.values():
            if isinstance(effect, Answering) and effect.fault.path in path:
                effect.fired += 1
                return effect
        return None

    def dropping(self) -> float | None:
        """Return after how many seconds a new connection is dropped, None where it is not."""
        for effect in self._active.values():
            if isinstance(effect, Dropping):
                effect.fired += 1
                return effect.hold
        return None

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._clock.monotonic() + seconds, next(self._order), act))

    def _begin(self, entry: Entry) -> None:
        if entry.state != "waiting":
            return
        entry.state = "active"
        entry.effect = self._active[entry.number] = begin(entry.fault, self._world)
        if entry.fault.lasts is not None:
            self._later(entry.fault.lasts, lambda: self._end(entry))

    def _end(self, entry: Entry) -> None:
        entry.state = "over"
        effect = self._active.pop(entry.number, None)
        if effect is not None:
            effect.lift()
