"""Sends to one connection at the pace that the exchange allows: subscriptions in chunks, pongs and pings first."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import msgspec

from bus.clock import Clock
from daemon.collectors.tasks import cancel, first_of
from daemon.exchanges.base import Exchange, FeedKey
from daemon.resilience.window import Window

SEND_TIMEOUT: Final = 15.0
HOUR: Final = 3600.0
REMEMBERED: Final = 256
"""Subscribe messages whose refusal can still be told to their feeds."""


class _Message(msgspec.Struct, frozen=True):
    """A subscribe or unsubscribe message yet to be numbered, and the feeds that a subscription is for."""

    make: Callable[[Sequence[str], int], Sequence[str]]
    streams: list[str]
    feeds: list[FeedKey]


class Sender:
    """The outgoing side of one connection. Waiting messages are bounded by the feeds: each is in one at a time."""

    def __init__(self, exchange: Exchange, clock: Clock, subscribed: Callable[[Sequence[FeedKey]], None]) -> None:
        self._exchange = exchange
        self._clock = clock
        self._subscribed = subscribed
        self._messages: deque[_Message] = deque()
        self._texts: deque[str] = deque(maxlen=REMEMBERED)
        self._parts: deque[str] = deque()
        per_hour = exchange.limits.messages_per_hour
        self._quota = per_hour and Window(per_hour, HOUR)
        """What is left for subscriptions: pings and pongs do not count."""
        self._wake = asyncio.Event()
        self._sent: dict[int, list[FeedKey]] = {}
        self._number = 0

    def subscribe(self, feeds: Sequence[FeedKey]) -> None:
        """Ask for feeds, in chunks of as many streams as one message may name."""
        most = self._exchange.limits.streams_per_message
        streams: list[str] = []
        named: list[FeedKey] = []
        for feed in feeds:
            wanted = list(self._exchange.streams(feed))
            if streams and len(streams) + len(wanted) > most:
                self._queue(_Message(self._exchange.subscribe, streams, named))
                streams, named = [], []
            streams += wanted
            named.append(feed)
        if streams:
            self._queue(_Message(self._exchange.subscribe, streams, named))

    def unsubscribe(self, streams: Sequence[str]) -> None:
        """Give streams up."""
        most = self._exchange.limits.streams_per_message
        for start in range(0, len(streams), most):
            self._queue(_Message(self._exchange.unsubscribe, list(streams[start : start + most]), []))

    def text(self, text: str) -> None:
        """Send a message as it is, before waiting subscriptions: the exchange expects it soon."""
        self._texts.append(text)
        self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether subscriptions are still to be sent."""
        return bool(self._messages)

    def feeds_of(self, message_id: int | None) -> list[FeedKey]:
        """Return the feeds that a message asked for; of the last one when the exchange does not say which."""
        if message_id is None:
            message_id = next(reversed(self._sent), None)
        return self._sent.get(message_id, []) if message_id is not None else []

    def alone(self, message_id: int) -> None:
        """Ask for each feed of a message in one of its own; once, however often the message is refused."""
        for feed in self._sent.pop(message_id, []):
            self.subscribe([feed])

    async def run(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> str:
        """Send what is queued until sending fails; return why it failed."""
        while True:
            text = self._next()
            if text is None:
                await self._something()
                continue
            try:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await socket.send_str(text)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                return type(error).__name__
            await self._clock.sleep(self._exchange.limits.message_interval)

    async def _something(self) -> None:
        """Wait until something new is to be sent, or the quota leaves room for what waits."""
        self._wake.clear()
        if not (self._quota and (self._parts or self._messages)):
            await self._wake.wait()
            return
        pause = asyncio.create_task(self._clock.sleep(self._quota.wait(1, self._clock.monotonic())))
        await first_of(pause, self._wake)
        await cancel([pause])

    def _queue(self, message: _Message) -> None:
        self._messages.append(message)
        self._wake.set()

    def _next(self) -> str | None:
        if self._texts:
            return self._texts.popleft()
        if self._quota and (self._parts or self._messages):
            now = self._clock.monotonic()
            if self._quota.wait(1, now) > 0:
                return None
            self._quota.take(1, now)
        if self._parts:
            return self._parts.popleft()
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._number += 1
        if message.feeds:
            self._sent[self._number] = message.feeds
            if len(self._sent) > REMEMBERED:
                del self._sent[next(iter(self._sent))]
            self._subscribed(message.feeds)
        self._parts.extend(message.make(message.streams, self._number))
        return self._parts.popleft()
