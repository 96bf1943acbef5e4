"""What most commands share: the configuration, an event loop, and the servers that a running daemon offers."""

import asyncio
import os
from argparse import Namespace
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bus.errors import ConfigError, UsageError
from daemon.config import Config, find, load

T = TypeVar("T")


def where(args: Namespace) -> Path | None:
    """Return the file that holds the configuration, None where there is none."""
    return find(Path(args.config) if args.config else None, os.environ)


def settings(args: Namespace) -> Config:
    """Load the configuration that the command line names. Raises ConfigError."""
    return load(where(args), os.environ)


def check_exchange(check: Callable[[str], object], name: str) -> None:
    """Check an exchange's name: on the command line a wrong one is wrong usage. Raises UsageError."""
    try:
        check(name)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 # absent on Windows
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
