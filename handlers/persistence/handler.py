"""Stores market and system events: each lands once, however often it is delivered."""

from collections.abc import Sequence
from typing import ClassVar

from bus.clock import Clock, SystemClock
from bus.events import Event
from bus.handler import Batch, Handler, StateStore
from handlers.persistence.writer import Writer


class PersistenceHandler(Handler):
    """Writes each batch in one transaction; natural keys make redelivery harmless."""

    name = "persistence"
    together = "stream"
    system: ClassVar[bool] = True
    batch_events: ClassVar[int] = 5_000
    pace = 0.05
    deadline: ClassVar[float] = 90.0

    def __init__(self, dsn: str, clock: Clock | None = None) -> None:
        self._writer = Writer(dsn, clock or SystemClock())

    async def start(self, state: StateStore) -> None:
        """Nothing to load: how far it is stands with the rows, and the bus keeps what is not acknowledged."""

    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Store a batch. Raises StoreUnavailable, or what PostgreSQL says of data that it cannot store."""
        await self._writer.write(batch.events, batch.positions)
        return ()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._writer.close()
