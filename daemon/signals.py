"""SIGTERM and Ctrl-C: the first asks for a drain, the second for the end at once."""

import asyncio
import signal
from collections.abc import Iterable
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Two events that signals set; `drain` by the first signal, `now` by the second."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()

    def install(self, loop: asyncio.AbstractEventLoop, signals: Iterable[signal.Signals] = ENDING) -> None:
        """Take these signals over for as long as the loop runs."""
        for number in signals:
            loop.add_signal_handler(number, self.received)

    def received(self) -> None:
        """Count a signal, or a `shutdown` command."""
        (self.now if self.drain.is_set() else self.drain).set()
