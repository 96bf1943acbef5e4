"""Listens on one of ccxt's WebSocket clients: every message is taken, at the moment at which it would wake a watcher.

ccxt keeps what came in caches and wakes its watchers, which the event loop lets run much later in a burst: by then a
cache has turned over and a book has changed many times. So a watcher is called once, for its subscription, and stays
asleep until the connection fails; what would wake it comes here.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import aiohttp

from bus import metrics
from bus.clock import Clock
from bus.errors import ExchangeUnavailable
from daemon.collectors.ccxt.digits import decode_json
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.dialler import LONGEST_QUEUE
from daemon.collectors.gate import Gate
from daemon.exchanges.base import FeedKey, by_status
from daemon.resilience.breaker import Permit

FEED: Final[ContextVar[FeedKey | None]] = ContextVar("feed", default=None)
"""Whom the running task watches for."""


class Tap:
    """Replaces those methods of a client that data passes through; the rest of it works as ccxt wrote it."""

    def __init__(self, exchange: str, client: Any, intake: CcxtIntake, gate: Gate, clock: Clock) -> None:
        self._exchange = exchange
        self._client = client
        self._intake = intake
        self._gate = gate
        self._clock = clock
        self._permit: Permit | None = None
        self.feeds: dict[str, set[FeedKey]] = {}
        """The feeds that wait for each of ccxt's message hashes."""
        self._future: Callable[[Any], Any] = client.future
        self._resolve: Callable[[Any, Any], Any] = client.resolve
        self._receive: Callable[[], Any] = client.receive
        self._connect: Callable[[Any], Any] = client.create_connection
        client.future = self._wait_for
        client.resolve = self._deliver
        client.receive = self._receive_with_room
        client.create_connection = self._connect_in_turn
        client.handle_text_or_binary_message = self._read

    def carries(self, feed: FeedKey) -> bool:
        """Tell whether a feed was subscribed to on this connection."""
        return any(feed in feeds for feeds in self.feeds.values())

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to send on."""
        return not self._client.closed()

    @property
    def idle(self) -> bool:
        """Whether feeds came on this connection, and none of them is wanted any more."""
        return bool(self.feeds) and not any(self.feeds.values())

    def forget(self, feed: FeedKey) -> None:
        """Take nothing more for a feed."""
        for feeds in self.feeds.values():
            feeds.discard(feed)

    def ended(self, reason: str) -> None:
        """Take nothing more: the connection has failed. That counts against the exchange when no data had come."""
        self.feeds.clear()
        if self._permit is not None:
            self._permit.fail(reason)
            self._permit = None
            metrics.DISCONNECTS.labels(self._exchange, "closed").inc()

    def release(self) -> None:
        """Take note that we end the connection."""
        if self._permit is not None:
            self._permit.release()
            self._permit = None

    # in place of the client's own

    def _wait_for(self, message_hash: Any) -> Any:
        feed = FEED.get()
        if feed is not None:
            self.feeds.setdefault(message_hash, set()).add(feed)
        return self._future(message_hash)

    def _deliver(self, result: Any, message_hash: Any = None) -> Any:
        feeds = self.feeds.get(message_hash)
        if feeds and sum(self._intake.take(feed, result) for feed in feeds):
            if self._permit is not None:
                self._permit.succeed()
            return result
        return self._resolve(result, message_hash)

    def _read(self, data: Any) -> None:
        """Decode a message and hand it to the exchange's class. What that cannot read costs itself alone."""
        client = self._client
        self._intake.frame(data, client.url)
        try:
            if isinstance(data, bytes) and client.decompressBinary:
                data = data.decode()
            is_json = isinstance(data, str) and data.lstrip()[:1] in {"{", "["}
            client.on_message_callback(client, decode_json(data) if is_json else data)
        except Exception as error:  # noqa: BLE001 # ccxt's classes raise anything; a frame must not end the connection
            self._intake.failed(f"ccxt cannot read it: {error!r}"[:500])

    async def _receive_with_room(self) -> Any:
        await self._intake.room()
        return await self._receive()

    async def _connect_in_turn(self, session: Any) -> Any:
        """Connect within the quota and with the breaker's leave. Raises ExchangeUnavailable and what aiohttp raises."""
        await self._gate.connects.acquire(1, LONGEST_QUEUE)
        permit = None if self._gate.weight.closed_for() else self._gate.websocket.permit()
        if permit is None:
            raise ExchangeUnavailable(f"{self._exchange}: the breaker is {self._gate.websocket.state}")
        self._permit = permit
        try:
            socket = await self._connect(session)
        except aiohttp.WSServerHandshakeError as error:
            await self._gate.obey(by_status(error.status, error.headers or {}, self._clock.now()))
            raise
        except asyncio.CancelledError:
            self.ended("no connection in time")
            raise
        if self._client.error is not None:
            await socket.close()
            raise ExchangeUnavailable(f"{self._exchange}: the connection was given up before it was there")
        metrics.CONNECTS.labels(self._exchange).inc()
        return socket
