"""Events and handlers that the bus tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from random import Random

from redis.asyncio import Redis

from bus.clock import SystemClock
from bus.events import Event, Trade
from bus.frames import decode_frame
from bus.handler import Batch, Handler
from bus.interface import Consumer, EventBus, Group
from bus.part import WHOLE, Part
from bus.redis import RedisBus
from bus.subscription import Subscription

TRADES = Group("g", frozenset({"trade"}))


def trade(number: int, exchange: str = "binance") -> Trade:
    return Trade(exchange, "BTC/USDT", number, number, "ws", str(number), "61837.63000000", "0.02000000", "buy")


def trades(start: int, stop: int) -> list[Trade]:
    return [trade(number) for number in range(start, stop)]


def numbers(events: Sequence[Event]) -> list[int]:
    return [int(event.id) for event in events if isinstance(event, Trade)]


def exchanges_apart(bus: RedisBus, masters: int = 3) -> list[str]:
    """Names of exchanges whose trades lie on a master of the cluster each."""
    found: dict[str, str] = {}
    names = (f"exchange{number}" for number in count())
    while len(found) < masters:
        name = next(names)
        found.setdefault(bus.client.node_for(bus.names.market(name, "trade")).name, name)
    return list(found.values())


async def eventually(condition: Callable[[], object], deadline: float = 60.0) -> None:
    async with asyncio.timeout(deadline):
        while not condition():
            await asyncio.sleep(0.005)


async def read_numbers(consumer: Consumer, wanted: int, *, ack: bool = True) -> list[int]:
    """Read until `wanted` trades have come."""
    return numbers(await read_events(consumer, wanted, ack=ack))


async def read_events(consumer: Consumer, wanted: int, *, ack: bool = True) -> list[Event]:
    """Read until so many events have come."""
    found: list[Event] = []
    async with asyncio.timeout(60):
        while len(found) < wanted:
            delivery = await consumer.read(0.2)
            found += [event for frame in delivery.frames for event in frame.events]
            if ack:
                await consumer.ack(delivery.frames)
    return found


async def streamed(url: str, stream: str = "md:binance:trade") -> tuple[list[int], list[int]]:
    """The trades on a stream and its frame numbers."""
    async with Redis.from_url(url, protocol=2) as client:
        frames = [decode_frame(stream, entry.decode(), fields)[0] for entry, fields in await client.xrange(stream)]
    return numbers([event for frame in frames for event in frame.events]), [frame.seq for frame in frames]


class Collecting(Handler):
    """A handler that keeps what it is given; `trouble` may raise for a batch."""

    name = "collecting"
    channels = frozenset({"trade"})

    def __init__(self, trouble: Callable[[Batch], None] = lambda _: None, returns: Sequence[Event] = ()) -> None:
        self.events: list[Event] = []
        self.batches: list[Batch] = []
        self.ticks = 0
        self._trouble = trouble
        self._returns = returns

    async def handle(self, batch: Batch) -> Sequence[Event]:
        self._trouble(batch)
        self.events += batch.events
        self.batches.append(batch)
        returned, self._returns = self._returns, ()
        return returned

    async def tick(self, now: int) -> Sequence[Event]:
        assert now > 0
        self.ticks += 1
        return ()


@asynccontextmanager
async def running(bus: EventBus, handler: Handler, part: Part = WHOLE) -> AsyncIterator[Subscription]:
    subscription = Subscription(bus, handler, SystemClock(), Random(1), part)
    task = asyncio.create_task(subscription.run())
    try:
        yield subscription
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
