"""The subscriber that hears what is wrong with an exchange's data: gaps wait for the healer, books begin anew."""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from bus.events import Event, Gap, Quality
from bus.handler import Batch, Handler
from daemon.healing.queue import GapQueue
from handlers.books import STUCK
from handlers.paper.service.handler import UNKNOWN_BOOK

_ANEW = (STUCK, UNKNOWN_BOOK)
"""Findings about a book that a snapshot settles."""


class HealingHandler(Handler):
    """Reads the system stream for one exchange. It returns nothing: the healer speaks when it has a verdict.

    `resync` has one symbol's book start anew from a snapshot, and takes the reason.
    """

    channels: ClassVar[frozenset[str]] = frozenset()
    system: ClassVar[bool] = True

    def __init__(self, queue: GapQueue, resync: Callable[[str, str], Awaitable[None]]) -> None:
        self.name = f"healing.{queue.exchange}"
        self._queue = queue
        self._resync = resync

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Note new and settled gaps; start books anew that need it. Raises BusUnavailable."""
        await self._queue.note(
            event for event in batch.events if type(event) is Gap and event.exchange == self._queue.exchange
        )
        for event in batch.events:
            if type(event) is Quality and event.rule in _ANEW and event.exchange == self._queue.exchange:
                await self._resync(event.symbol, event.detail)
        return ()
