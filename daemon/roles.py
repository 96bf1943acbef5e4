"""Which parts of the daemon a process runs: `--role all | collect | handle[:NAME,…]`."""

from collections.abc import Mapping
from dataclasses import dataclass

from handlers.gaps import GapHandler
from handlers.metrics import MetricsHandler
from handlers.persistence import PersistenceHandler
from handlers.validation import ValidationHandler

from bus.errors import UsageError
from bus.handler import Handler
from daemon.cli.parsing import nearest

HANDLERS: Mapping[str, type[Handler]] = {
    handler.name: handler for handler in (ValidationHandler, GapHandler, PersistenceHandler, MetricsHandler)
}
"""Every subscriber; adding one is its file and its place in this list."""


@dataclass(frozen=True)
class Roles:
    """The parts to run: collectors and the names of handlers."""

    collect: bool
    handlers: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Roles":
        """Read the command line's form. Raises UsageError naming the nearest role or handler."""
        role, _, names = text.partition(":")
        if role == "all" and not names:
            return cls(collect=True, handlers=tuple(HANDLERS))
        if role == "collect" and not names:
            return cls(collect=True, handlers=())
        if role != "handle":
            raise UsageError(
                f"unknown role '{text}': use all, collect, handle or handle:NAME.{nearest(role, ('all', 'collect', 'handle'))}"
            )
        chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip())) or tuple(HANDLERS)
        for name in chosen:
            if name not in HANDLERS:
                raise UsageError(f"unknown handler '{name}': there are {', '.join(HANDLERS)}.{nearest(name, HANDLERS)}")
        return cls(collect=False, handlers=chosen)

    def __str__(self) -> str:
        """Return the parts in words."""
        return ", ".join((["collect"] if self.collect else []) + [f"handle:{name}" for name in self.handlers])
