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
from daemon.collectors.dialler import CONNECT_TIMEOUT, LONGEST_QUEUE
from daemon.collectors.gate import Gate
from daemon.exchanges.base import FeedKey, by_status
from daemon.resilience.breaker import Permit

FEED: Final[ContextVar[FeedKey | None]] = ContextVar("feed", default=None)
"""Whom the running task watches for."""


LONGEST_WAIT: Final = 60.0
"""Seconds that a connection waits for the breaker's leave."""
SETTLED: Final = 10.0
"""Seconds after which a connection that stands counts as a success, also where there is nothing to say on it."""
DIAL_TIMEOUT: Final = LONGEST_WAIT + LONGEST_QUEUE + 2 * CONNECT_TIMEOUT
"""Seconds for all of it."""
_LOOK_AGAIN: Final = 0.5


class Tap:
    """Replaces those methods of a client that data passes through; the rest of it works as ccxt wrote it."""

    def __init__(self, exchange: str, client: Any, intake: CcxtIntake, gate: Gate, clock: Clock) -> None:
        self._exchange = exchange
        self._client = client
        self._intake = intake
        self._gate = gate
        self._clock = clock
        self._permit: Permit | None = None
        self._opened: float | None = None
        self._dial: asyncio.Task[Any] | None = None
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
        client.connectionTimeout = round(DIAL_TIMEOUT * 1000)
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
        self._stop_dialling()
        if self._permit is not None:
            self._permit.fail(reason)
            self._permit = None
        if self._opened is not None:
            self._opened = None
            metrics.DISCONNECTS.labels(self._exchange, "closed").inc()

    def settle(self) -> None:
        """Count the connection as a success when it has stood for a while."""
        stood = 0.0 if self._opened is None else self._clock.monotonic() - self._opened
        if self._permit is not None and stood > SETTLED:
            self._permit.succeed()

    def release(self) -> None:
        """Take note that we end the connection."""
        self._stop_dialling()
        if self._permit is not None:
            self._permit.release()
            self._permit = None

    def _stop_dialling(self) -> None:
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None

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
        """Connect with the breaker's leave and within the quota. Raises ExchangeUnavailable and what aiohttp raises."""
        self._dial = asyncio.current_task()
        try:
            permit = await self._permitted()
            try:
                await self._gate.connects.acquire(1, LONGEST_QUEUE)
            except BaseException:
                permit.release()
                raise
            self._permit = permit
            socket = await self._open(session)
        finally:
            self._dial = None
        if self._client.error is not None:
            await socket.close()
            raise ExchangeUnavailable(f"{self._exchange}: the connection was given up before it was there")
        metrics.CONNECTS.labels(self._exchange).inc()
        self._opened = self._clock.monotonic()
        return socket

    async def _open(self, session: Any) -> Any:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._connect(session)
        except aiohttp.WSServerHandshakeError as error:
            await self._gate.turned_away(by_status(error.status, error.headers or {}, self._clock.now()))
            raise

    async def _permitted(self) -> Permit:
        """Wait for the breaker's leave: others of this exchange's connections may be its probe. Raises as above."""
        until = self._clock.monotonic() + LONGEST_WAIT
        while self._clock.monotonic() < until and self._client.error is None:
            wait = self._gate.connect_wait()
            permit = self._gate.websocket.permit() if wait <= 0 else None
            if permit is not None:
                return permit
            await self._clock.sleep(min(max(wait, _LOOK_AGAIN), LONGEST_WAIT))
        raise ExchangeUnavailable(f"{self._exchange}: the breaker is {self._gate.websocket.words}")
