"""Which parts of the daemon a process runs: `--role all | collect | handle[:NAME[-PART],…]`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from bus.errors import UsageError
from bus.handler import Handler
from bus.interface import EventBus
from bus.part import WHOLE, Part
from daemon.config import Config
from daemon.exchanges import contiguous
from daemon.nearest import did_you_mean
from handlers.books import BookWatch
from handlers.candles import CandleHandler, StoredPast
from handlers.gaps import GapHandler, Stored
from handlers.metrics import MetricsHandler
from handlers.paper.service import PaperHandler
from handlers.persistence import PersistenceHandler
from handlers.validation import ValidationHandler

_MAKERS: Final[Mapping[type[Handler], Callable[[str, EventBus, Config], Handler]]] = {
    ValidationHandler: lambda *_: ValidationHandler(),
    GapHandler: lambda dsn, *_: GapHandler(contiguous(), Stored(dsn)),
    PersistenceHandler: lambda dsn, *_: PersistenceHandler(dsn),
    CandleHandler: lambda dsn, _, config: CandleHandler(config.candles.timeframes, StoredPast(dsn)),
    BookWatch: lambda *_: BookWatch(),
    PaperHandler: lambda dsn, bus, _: PaperHandler(dsn, partial(bus.newest, bus.names.paper)),
    MetricsHandler: lambda *_: MetricsHandler(),
}
"""Every subscriber and how it is made from the database's DSN, the bus and the configuration; adding one is its file
and its line here."""
HANDLERS: Final[Mapping[str, type[Handler]]] = {handler.name: handler for handler in _MAKERS}

_ROLES = ("all", "collect", "handle")


def make_handler(name: str, dsn: str, bus: EventBus, config: Config) -> Handler:
    """Return a new handler of a name."""
    return _MAKERS[HANDLERS[name]](dsn, bus, config)


@dataclass(frozen=True)
class Roles:
    """The parts to run: collectors, and handlers with the share of their streams that this process has."""

    collect: bool
    handlers: Mapping[str, Part]

    @classmethod
    def parse(cls, text: str) -> "Roles":
        """Read the command line's form. Raises UsageError naming the nearest role or handler."""
        role, colon, names = text.partition(":")
        if role not in _ROLES or (colon and role != "handle"):
            raise UsageError(
                f"unknown role '{text}'{did_you_mean(role, _ROLES)}; use all, collect or handle[:NAME[-PART],…]"
            )
        chosen = dict.fromkeys(name.strip() for name in names.split(",") if name.strip()) or HANDLERS
        handlers = dict(map(_handler, chosen))
        if len(handlers) < len(chosen):
            raise UsageError(f"'{names}' names a handler twice; a process has one part of it, or the whole")
        return cls(collect=role != "handle", handlers={} if role == "collect" else handlers)

    def __str__(self) -> str:
        """Return the parts in words."""
        handlers = [
            f"handle:{name}" if part == WHOLE else f"handle:{name}-{part}" for name, part in self.handlers.items()
        ]
        return ", ".join((["collect"] if self.collect else []) + handlers)


def _handler(text: str) -> tuple[str, Part]:
    """Read a handler's name and the part of it. Raises UsageError."""
    name, dash, part = text.partition("-")
    if name not in HANDLERS:
        raise UsageError(f"unknown handler '{name}'{did_you_mean(name, HANDLERS)}; there are {', '.join(HANDLERS)}")
    if not dash:
        return name, WHOLE
    if HANDLERS[name].together == "everything":
        shared = ", ".join(known for known, handler in HANDLERS.items() if handler.together != "everything")
        raise UsageError(f"the streams of '{name}' belong together: it has no parts; those of {shared} can be shared")
    return name, Part.parse(part)
