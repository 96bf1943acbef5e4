"""SIGTERM and Ctrl-C: the first asks for a drain, the second for the end at once. SIGHUP: read the file again."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Events that signals set: `drain` by the first that asks for the end, `now` by the second; `reload` by SIGHUP."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self.reload = asyncio.Event()
        self._on_terminal = _terminal()

    def install(self, loop: asyncio.AbstractEventLoop, signals: Iterable[signal.Signals] = ENDING) -> None:
        """Take these signals and SIGHUP over for as long as the loop runs."""
        for number in signals:
            loop.add_signal_handler(number, self.received)
        loop.add_signal_handler(signal.SIGHUP, self.hung_up)

    def received(self) -> None:
        """Count a signal, or a `shutdown` command."""
        (self.now if self.drain.is_set() else self.drain).set()

    def hung_up(self) -> None:
        """Take a SIGHUP: somebody wants the file read again, or has closed the terminal that marketd was started on."""
        if self._on_terminal and not _terminal():
            self.received()
        else:
            self.reload.set()


def _terminal() -> bool:
    """Tell whether standard input is a terminal that is there."""
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):
        return False
