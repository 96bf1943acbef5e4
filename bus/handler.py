"""What a subscriber is: it takes events and returns events; it never holds the bus."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

import msgspec

from bus.events import MARKET_CHANNELS, Event


class Position(msgspec.Struct, frozen=True):
    """How far a stream has been read: the last entry's id and frame number."""

    entry: str
    seq: int


class Batch(msgspec.Struct, frozen=True):
    """Consecutive events of some streams, in order per stream.

    `positions` says how far each stream is read once this batch is done; a part of a bisected batch has none.
    """

    events: Sequence[Event]
    positions: Mapping[str, Position] = {}


class StateStore(Protocol):
    """Where a handler keeps what must survive a restart. Saved values live with the bus, next to the read position."""

    async def load(self, handler: str) -> dict[str, bytes]:
        """Return everything that this handler has saved. Raises BusUnavailable."""
        ...

    async def save(self, handler: str, changes: Mapping[str, bytes]) -> None:
        """Store the changed values; an empty one is forgotten. Raises BusUnavailable."""
        ...


class Handler(ABC):
    """One subscriber. Delivery is at least once and in order per stream, so handling an event twice must be harmless.

    An exception that is `Retryable` makes the subscription wait and hand over the same batch again; any other one
    makes it bisect the batch until the poisonous event stands alone and is dead-lettered.
    """

    name: str
    """Consumer group, metric label and `--role handle:NAME`."""
    channels: ClassVar[frozenset[str]] = frozenset(MARKET_CHANNELS)
    """The market channels it reads, of every exchange."""
    system: ClassVar[bool] = False
    """Whether it reads the system and the dead-letter stream too."""
    together: ClassVar[Literal["stream", "exchange", "everything"]] = "everything"
    """What one process must read where several share the handler: whole streams, all of an exchange's, or simply all.

    Who reads the system stream for what it says of feeds needs everything.
    """
    commands: ClassVar[bool] = False
    """Whether it reads the commands to paper trading too."""
    start_at: ClassVar[Literal["beginning", "now"]] = "beginning"
    """Where a group that does not exist yet starts. Whoever must lose nothing says `beginning`."""
    batch_events: ClassVar[int] = 5_000
    """About how many events it likes to be handed at once."""
    deadline: ClassVar[float] = 30.0
    """Seconds after which one call of `handle` counts as hung."""

    @property
    def pace(self) -> float:
        """Seconds that it may wait for more, so that many small batches become one; 0 where each moment counts."""
        return 0.0

    @property
    def settled(self) -> bool:
        """Whether all that was handed over is digested for good; until it is, it stays unacknowledged."""
        return True

    async def start(self, state: StateStore) -> None:  # noqa: B027 # optional for handlers without state
        """Prepare: load state, open pools. Called before the first batch and after every restart of the handler."""

    @abstractmethod
    async def handle(self, batch: Batch) -> Sequence[Event]:
        """Digest a batch and return what it gives rise to; the subscription publishes that, then acknowledges."""

    async def tick(self, now: int) -> Sequence[Event]:  # noqa: ARG002 # optional
        """Let time pass (about once a second, wall clock ns): what silence alone gives rise to."""
        return ()

    async def close(self) -> None:  # noqa: B027 # optional for handlers without resources
        """Release what `start` took."""
