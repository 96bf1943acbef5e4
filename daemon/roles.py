"""Which parts of the daemon a process runs: `--role all | collect | handle[:NAME,…]`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bus.errors import UsageError
from bus.handler import Handler
from bus.interface import EventBus
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

HANDLERS: Mapping[str, Callable[[str, EventBus, Config], Handler]] = {
    "validation": lambda *_: ValidationHandler(),
    "gaps": lambda dsn, *_: GapHandler(contiguous(), Stored(dsn)),
    "persistence": lambda dsn, *_: PersistenceHandler(dsn),
    "candles": lambda dsn, _, config: CandleHandler(config.candles.timeframes, StoredPast(dsn)),
    "books": lambda *_: BookWatch(),
    "paper": lambda dsn, bus, _: PaperHandler(dsn, partial(bus.newest, bus.names.paper)),
    "metrics": lambda *_: MetricsHandler(),
}
"""Every subscriber and how it is made from the database's DSN, the bus and the configuration; adding one is its file
and its line here."""

_ROLES = ("all", "collect", "handle")


@dataclass(frozen=True)
class Roles:
    """The parts to run: collectors and the names of handlers."""

    collect: bool
    handlers: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Roles":
        """Read the command line's form. Raises UsageError naming the nearest role or handler."""
        role, colon, names = text.partition(":")
        if role not in _ROLES or (colon and role != "handle"):
            raise UsageError(f"unknown role '{text}'{did_you_mean(role, _ROLES)}; use all, collect or handle[:NAME,…]")
        chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip())) or tuple(HANDLERS)
        for name in chosen:
            if name not in HANDLERS:
                raise UsageError(
                    f"unknown handler '{name}'{did_you_mean(name, HANDLERS)}; there are {', '.join(HANDLERS)}"
                )
        return cls(collect=role != "handle", handlers=() if role == "collect" else chosen)

    @property
    def whole(self) -> bool:
        """Whether this process is the whole daemon, and so the one that answers commands and trims streams."""
        return self.collect and len(self.handlers) == len(HANDLERS)

    def __str__(self) -> str:
        """Return the parts in words."""
        return ", ".join((["collect"] if self.collect else []) + [f"handle:{name}" for name in self.handlers])
