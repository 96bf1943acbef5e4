"""Which exchanges ccxt has, without importing it; and the import, in a thread, where one of them is really used."""

import asyncio
import importlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from daemon.collectors.ccxt.channels import Way, timeframes, ways


class Entry(NamedTuple):
    """What an exchange has through ccxt."""

    name: str
    streams: bool
    """Whether ccxt.pro has it."""
    channels: dict[str, Way]
    timeframes: int


@cache
def _folder() -> Path | None:
    spec = find_spec("ccxt")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


@cache
def names() -> frozenset[str]:
    """Return the names of all exchanges that ccxt has. Its files tell: importing it takes a second."""
    return _modules("async_support")


@cache
def streaming() -> frozenset[str]:
    """Return those that ccxt.pro has: the others are polled."""
    return _modules("pro")


def _modules(part: str) -> frozenset[str]:
    folder = _folder()
    if folder is None:
        return frozenset()
    return frozenset(path.stem for path in (folder / part).glob("*.py") if not path.stem.startswith("_"))


def exchange_class(name: str) -> Any:
    """Import ccxt's class of an exchange: ccxt.pro's where it has one. Takes a second the first time."""
    part = "pro" if name in streaming() else "async_support"
    return getattr(importlib.import_module(f"ccxt.{part}.{name}"), name)


async def load(name: str) -> tuple[Any, Any]:
    """Return ccxt's class of an exchange and what makes hooked ones, imported in a thread."""

    def work() -> tuple[Any, Any]:
        return exchange_class(name), importlib.import_module("daemon.collectors.ccxt.hooks").make

    return await asyncio.to_thread(work)


def entries() -> list[Entry]:
    """Return what every exchange has. Imports all of ccxt."""
    found = []
    for name in sorted(names()):
        exchange = exchange_class(name)()
        found.append(Entry(name, name in streaming(), ways(exchange.has), len(timeframes(exchange))))
    return found
