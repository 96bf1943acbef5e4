"""Runs one handler on one consumer group: reads, hands over, publishes what comes back, acknowledges.

Acknowledgement comes last, so a crash anywhere means that the handler sees the events again, never that it misses them.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, TypeVar

import msgspec
import structlog

from bus import metrics
from bus.clock import SECOND, Clock
from bus.errors import Retryable
from bus.events import Dead, Event, Gap, MarketEvent
from bus.frames import Frame
from bus.handler import Batch, Handler, Position
from bus.interface import Consumer, Delivery, EventBus, Group, Loss
from bus.leadership import Leadership
from bus.part import WHOLE, Part

T = TypeVar("T")
log = structlog.get_logger(__name__)

READ_WAIT: Final = 0.25
"""Seconds that a read waits for new frames; also how promptly time passes for a handler without events."""
TICK_INTERVAL: Final = 1.0
LOOK_INTERVAL: Final = 0.1
SMALL: Final = 4
"""A batch of less than this part of what its handler likes leaves time to wait for more."""
RETURNED_DEADLINE: Final = 30.0
"""Seconds in which what a handler returned must stand on the bus."""
LONGEST_BACKOFF: Final = 10.0


class Subscription:
    """One handler's place on the bus."""

    def __init__(self, bus: EventBus, handler: Handler, clock: Clock, random: Random, part: Part = WHOLE) -> None:
        """`part`: which of the handler's streams this process feeds it, where several share them."""
        self._bus = bus
        self._handler = handler
        self._clock = clock
        self._random = random
        self._part = part
        self._leadership = Leadership(f"handler {handler.name}", bus.lease(f"handler:{handler.name}", part), clock)
        self._next_tick = 0.0
        self._read_failures = 0
        self._unsettled: list[Frame] = []
        """Frames that were handed over and are not digested for good: not acknowledged yet."""
        self._in_hand: int | None = None
        """When the newest event that is being digested was received, of the stream that is farthest behind (ns)."""
        self._behind = 0.0
        """How old the newest event was when it had been digested (s)."""
        self._look_again = False
        """Whether somebody waits for what is on the bus now, whatever the last read has seen."""
        self.caught_up = asyncio.Event()
        """Set while the last read found nothing left to do."""

    @property
    def acts(self) -> bool:
        """Whether the handler is fed by this process."""
        return self._leadership.held

    async def catch_up(self) -> None:
        """Wait until what is on the bus now has been digested, or another process turns out to feed the handler."""
        self._look_again = True
        self.caught_up.clear()
        while not (self.caught_up.is_set() or self._leadership.taken):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self.caught_up.wait()

    async def run(self) -> None:
        """Feed the handler whenever no other process does, until cancelled.

        An error here is the handler's crash: run again from new.
        """
        await self._leadership.work(self._feed)

    async def _feed(self) -> None:
        group = Group(
            self._handler.name,
            self._handler.channels,
            self._handler.system,
            self._handler.start_at,
            self._handler.batch_events,
            self._handler.commands,
            self._part,
            by_exchange=self._handler.together == "exchange",
        )
        self._in_hand = None
        self.caught_up.clear()
        metrics.HANDLER_LAG.labels(self._handler.name).set_function(self._lag)
        self._next_tick = self._clock.monotonic() + TICK_INTERVAL
        await self._patiently(lambda: self._handler.start(self._bus.state))
        consumer = await self._bus.consumer(group)
        self._unsettled.clear()
        try:
            while True:
                await self._step(consumer)
        finally:
            try:
                await consumer.close()
            finally:
                await self._handler.close()

    async def _step(self, consumer: Consumer) -> None:
        await self._leadership.confirmed()
        began = self._clock.monotonic()
        if self._look_again:
            self._look_again = False
            consumer.look_again()
        try:
            delivery = await consumer.read(READ_WAIT)
        except Retryable as error:
            self._read_failures += 1
            await self._wait_after(self._read_failures, error)
            await consumer.rewind()
            self._unsettled.clear()
            return
        self._read_failures = 0
        if not self._leadership.sure:  # this process stood still meanwhile: another may feed the handler
            await consumer.rewind()
            self._unsettled.clear()
            return
        if delivery.losses:
            await self._bus.publish([self._gap(loss) for loss in delivery.losses])
        if delivery.frames:
            self.caught_up.clear()
            await self._digest(delivery)
            self._unsettled += delivery.frames
        if self._clock.monotonic() >= self._next_tick:
            self._next_tick = self._clock.monotonic() + TICK_INTERVAL
            await self._publish(await self._handler.tick(self._clock.now()))
        if self._unsettled and self._handler.settled:
            await consumer.ack(self._unsettled)
            self._unsettled.clear()
        if delivery.complete and not (delivery.frames or self._unsettled or self._look_again):
            self.caught_up.set()
        if self._handler.pace and delivery.frames:
            await self._wait_for_more(began, delivery)

    async def _wait_for_more(self, began: float, delivery: Delivery) -> None:
        """Let a handler that is in no hurry have its next batch larger, unless much waits already."""
        if sum(len(frame.events) for frame in delivery.frames) < self._handler.batch_events // SMALL:
            await self._clock.sleep(began + self._handler.pace - self._clock.monotonic())

    async def _digest(self, delivery: Delivery) -> None:
        """Hand over a delivery as one batch; look for the poison when it cannot be digested whole."""
        events = [event for frame in delivery.frames for event in frame.events]
        positions = {frame.stream: Position(frame.entry, frame.seq) for frame in delivery.frames}
        self._in_hand = _reached(delivery.frames)
        try:
            returned = await self._handle(Batch(events, positions))
        except MemoryError:
            raise  # no event is to blame: the handler begins anew, without what it had piled up
        except Exception as error:  # noqa: BLE001 # whatever a handler raises, one event may be to blame
            log.warning(
                "handler cannot digest a batch, looking for the cause", handler=self._handler.name, error=repr(error)
            )
            returned = await self._bisect(_origins(delivery.frames))
        await self._publish(returned)
        metrics.HANDLED.labels(self._handler.name).inc(len(events))
        self._behind, self._in_hand = self._lag(), None

    def _lag(self) -> float:
        """Return how far the handler is behind (s); it grows while a batch cannot be digested."""
        return self._behind if self._in_hand is None else max(0, self._clock.now() - self._in_hand) / SECOND

    async def _handle(self, batch: Batch) -> Sequence[Event]:
        """Let the handler digest a batch, again and again while the outside world is in the way."""

        async def once() -> Sequence[Event]:
            with metrics.HANDLE_SECONDS.labels(self._handler.name).time():
                async with asyncio.timeout(self._handler.deadline):
                    return await self._handler.handle(batch)

        return await self._patiently(once)

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        failures = 0
        while True:
            try:
                return await action()
            except (Retryable, TimeoutError) as error:
                failures += 1
                await self._wait_after(failures, error)

    async def _wait_after(self, failures: int, error: Exception) -> None:
        name = self._handler.name
        metrics.HANDLER_RETRIES.labels(name, type(error).__name__).inc()
        if failures in (1, 5) or failures % 20 == 0:
            log.warning("handler waits to try again", handler=name, failures=failures, error=str(error) or repr(error))
        await self._clock.sleep(self._random.uniform(0.0, min(LONGEST_BACKOFF, 0.1 * 2 ** min(failures, 10))))

    async def _bisect(self, events: "list[tuple[str, Event]]") -> list[Event]:
        """Digest the halves apart, in order, down to the single event that nobody can digest."""
        try:
            return list(await self._handle(Batch([event for _, event in events])))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 # as above
            if len(events) == 1:
                return [self._dead(*events[0], error)]
        middle = len(events) // 2
        return [*await self._bisect(events[:middle]), *await self._bisect(events[middle:])]

    async def _publish(self, events: Sequence[Event]) -> None:
        """Put what a handler returned on the bus before its cause is acknowledged."""
        if events:
            await self._bus.publish(events)
            await self._patiently(lambda: self._bus.flush(RETURNED_DEADLINE))

    def _dead(self, origin: str, event: Event, error: Exception) -> Dead:
        name = self._handler.name
        metrics.DEAD.labels(name).inc()
        log.error("event cannot be digested, kept as dead letter", handler=name, origin=origin, error=repr(error))
        return Dead(self._clock.now(), f"{name}:{origin}", origin, name, repr(error), msgspec.msgpack.encode(event))

    def _gap(self, loss: Loss) -> Gap:
        """Frames that were trimmed away before this handler read them: nobody else would say so."""
        name = self._handler.name
        market = self._bus.names.parse(loss.stream)
        exchange, channel = market or ("", loss.stream)
        reason = f"frames {loss.from_seq} to {loss.to_seq} of {loss.stream} were trimmed away before {name} read them"
        identity = hashlib.sha256(reason.encode()).hexdigest()[:16]
        log.error("frames lost", handler=name, stream=loss.stream, frames=loss.to_seq - loss.from_seq + 1)
        return Gap(
            self._clock.now(), identity, exchange, "*", channel, loss.from_ts, loss.to_ts, None, None, "open", reason
        )


def _reached(frames: Sequence[Frame]) -> int | None:
    """Return how far the handler is on the stream that it is farthest behind with: when its event was received (ns)."""
    newest = {frame.stream: frame.events[-1] for frame in frames if frame.events}.values()
    received = [event.recv for event in newest if isinstance(event, MarketEvent)]
    return min(received or [event.ts for event in newest if not isinstance(event, MarketEvent)], default=None)


def _origins(frames: Sequence[Frame]) -> list[tuple[str, Event]]:
    return [
        (f"{frame.stream}/{frame.entry}#{place}", event)
        for frame in frames
        for place, event in zip(frame.places or range(len(frame.events)), frame.events, strict=True)
    ]
