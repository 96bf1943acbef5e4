"""The subscriber that hears of gaps and hands them to the healer of their exchange."""

from collections.abc import Sequence
from typing import ClassVar

from bus.events import Event, Gap
from bus.handler import Batch, Handler
from daemon.healing.queue import GapQueue


class HealingHandler(Handler):
    """Reads the system stream for one exchange's gaps. It returns nothing: the healer speaks when it has a verdict."""

    channels: ClassVar[frozenset[str]] = frozenset()
    system: ClassVar[bool] = True

    def __init__(self, queue: GapQueue) -> None:
        self.name = f"healing.{queue.exchange}"
        self._queue = queue

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Note new and settled gaps. Raises BusUnavailable."""
        await self._queue.note(
            event for event in batch.events if type(event) is Gap and event.exchange == self._queue.exchange
        )
        return ()
