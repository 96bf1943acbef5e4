"""One WebSocket connection: subscribes, reads until it ends, and says why it ended.

The reading loop takes everything that aiohttp has buffered before it goes on, so that stamping, feed states and
publishing cost once per wake-up, not once per frame. While the bus has no room the socket is not read: that is the
backpressure, and the kernel's and aiohttp's buffers are its bound.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import aiohttp
import structlog

from bus.clock import Clock
from daemon.collectors.board import FeedBoard
from daemon.collectors.dialler import Socket
from daemon.collectors.intake import Intake, public_url
from daemon.collectors.outbox import Outbox
from daemon.collectors.resyncs import Resyncs
from daemon.collectors.sender import SEND_TIMEOUT, Sender
from daemon.collectors.tasks import cancel, first_of
from daemon.exchanges.base import Exchange, FeedKey, Notice

log = structlog.get_logger(__name__)

BATCH_FRAMES: Final = 512
"""Frames translated in one go; after a full batch everything else gets its turn."""
WATCH_INTERVAL: Final = 1.0
LIFETIME_SHARE: Final = 0.97
"""Part of the exchange's lifetime after which the next connection is opened."""
OVERLAP: Final = 15.0
"""Seconds after its first data within which a connection should deliver every feed; some may have nothing to say."""

LAST_WORDS: Final = 10.0
"""Seconds of our listening in which a connection that is replaced has to bring what was sent on it."""
_LAST: Final = b"last"

EndKind: TypeAlias = Literal["closed", "silent", "broken", "oversized", "send", "forced"]


@dataclass(frozen=True)
class Ended:
    """Why a connection is over: `kind` for metrics, `reason` for people."""

    kind: EndKind
    reason: str


@dataclass(frozen=True)
class Surroundings:
    """What all connections to one exchange share."""

    exchange: Exchange
    intake: Intake
    board: FeedBoard
    outbox: Outbox
    clock: Clock
    requested: Callable[[], None]
    """Called when the translator may have put requests into its queue."""
    barred: Callable[[], bool]
    """Whether an operator wants no connection to this exchange."""


class Connection:
    """One open socket to one exchange. `on_data` is called once, at the first data of any kind."""

    def __init__(
        self, number: int, socket: Socket, url: str, feeds: Sequence[FeedKey], around: Surroundings,
        on_data: Callable[[], None],
    ) -> None:  # fmt: skip
        self.number = number
        self.origin = public_url(url)
        self._socket = socket
        self._around = around
        self._on_data = on_data
        self._sender = Sender(around.exchange, around.clock, around.board.subscribed)
        self._sender.subscribe(feeds)
        self.missing = set(feeds)
        """Feeds that it was opened for and has not delivered yet; only told until it has settled."""
        self._opened = self._heard = around.clock.monotonic()
        self._first_data: float | None = None
        self._resyncs = Resyncs()
        self.settled = asyncio.Event()
        """Set when it delivers every feed, or has delivered some for `OVERLAP` seconds."""
        self.expiring = asyncio.Event()
        """Set when the exchange will end it soon."""
        self._emptied = asyncio.Event()
        """Set when all has been read that was sent before it was given up, or nothing more comes."""

    def covers(self, feed: FeedKey) -> bool:
        """Tell whether this connection surely delivers a feed when there is something to deliver."""
        return self.settled.is_set() or feed not in self.missing

    def add(self, feeds: Sequence[FeedKey]) -> None:
        """Subscribe to more feeds without touching the others."""
        if not self.settled.is_set():
            self.missing.update(feeds)
        self._sender.subscribe(feeds)

    def remove(self, feeds: Sequence[FeedKey], streams: Sequence[str]) -> None:
        """Give up feeds, of which `streams` are needed by no other one."""
        self.missing.difference_update(feeds)
        self._resyncs.settled(feeds)
        self._sender.unsubscribe(streams)

    def again(self, feeds: Sequence[FeedKey]) -> None:
        """Subscribe to feeds anew, without touching the others."""
        for feed in feeds:
            self._resyncs.asked(feed, self._around.clock.monotonic())
        self._sender.unsubscribe([stream for feed in feeds for stream in self._around.exchange.streams(feed)])
        self._sender.subscribe(feeds)

    async def retire(self) -> None:
        """End it with nothing lost: read on until the exchange answers a ping, which it does behind all it has sent."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._socket.ping(_LAST)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("an old connection takes no ping", origin=self.origin, error=repr(error))
        else:
            patience = asyncio.create_task(self._listen(LAST_WORDS))
            await first_of(patience, self._emptied)
            await cancel([patience])
        await self._socket.close()

    async def _listen(self, seconds: float) -> None:
        """Wait for so long; while the bus has no room, and so nothing is read, does not count."""
        while seconds > 0:
            await self._around.clock.sleep(WATCH_INTERVAL)
            if not self._around.outbox.held:
                seconds -= WATCH_INTERVAL

    async def run(self) -> Ended:
        """Work until the connection ends, and close it. Cancelling closes it too."""
        tasks: list[asyncio.Task[Ended]] = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._send()),
            asyncio.create_task(self._watch()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        finally:
            self._emptied.set()
            await cancel(tasks)
            await self._socket.close()

    # reading

    async def _read(self) -> Ended:
        receive = self._socket.receive
        buffered = self._socket._reader._buffer  # noqa: SLF001 # aiohttp does not tell what it holds; pinned by a test
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        while True:
            frames: list[bytes] = []
            message: Any = await receive()
            while (kind := message[0]) is text or kind is binary:
                frames.append(message[1])
                if not buffered or len(frames) == BATCH_FRAMES:
                    break
                message = await receive()
            self._heard = self._around.clock.monotonic()
            if frames:
                await self._digest(frames)
            if kind is not text and kind is not binary and (ended := await self._control(message)):
                return ended
            if buffered:
                await asyncio.sleep(0)

    async def _digest(self, frames: list[bytes]) -> None:
        digest = self._around.intake.frames(frames, self.origin, self.number)
        if digest.data > 0 and self._first_data is None:
            self._first_data = self._heard
            self._on_data()
        if self.missing:
            self.missing -= digest.feeds
            if not self.missing:
                self.settled.set()
        self._resyncs.settled(digest.feeds)
        for notice in digest.notices:
            self._notice(notice)
        if self._around.exchange.requests:
            self._around.requested()
        await self._around.outbox.publish(digest.events)

    async def _control(self, message: aiohttp.WSMessage) -> Ended | None:
        """Answer a ping; say why the connection is over when it is."""
        match message.type:
            case aiohttp.WSMsgType.PING:
                try:
                    async with asyncio.timeout(SEND_TIMEOUT):
                        await self._socket.pong(message.data)
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    return Ended("send", f"cannot answer a ping: {type(error).__name__}")
            case aiohttp.WSMsgType.PONG:
                if message.data == _LAST:
                    self._emptied.set()
            case aiohttp.WSMsgType.ERROR:
                return await self._broken(message.data)
            case _:
                return Ended("closed", f"closed by the exchange with code {self._socket.close_code}")
        return None

    async def _broken(self, error: object) -> Ended:
        if isinstance(error, aiohttp.WebSocketError) and error.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            letter = self._around.intake.oversized(self.origin, f"frame too big: {error}")
            await self._around.outbox.publish([letter])
            return Ended("oversized", f"the exchange sent a frame that is too big: {error}")
        return Ended("broken", f"the connection broke: {error}")

    def _notice(self, notice: Notice) -> None:
        match notice.kind:
            case "refused":
                self._refused(notice)
            case "send":
                self._sender.text(notice.text)
            case "reconnect":
                self.expiring.set()
            case "resync":
                self._resync(notice)
            case "control" | "unknown":
                pass  # counted by the intake

    def _refused(self, notice: Notice) -> None:
        """Take a refusal to its feed. Which of several it is about is found out by asking for each alone."""
        log.error("the exchange refused a subscription", origin=self.origin, reason=notice.text)
        feeds = notice.feeds or self._sender.feeds_of(notice.message_id)
        if notice.feeds or notice.message_id is None or len(feeds) <= 1:
            self._around.board.refused(feeds, notice.text)
        else:
            self._sender.alone(notice.message_id)

    def _resync(self, notice: Notice) -> None:
        """Subscribe to broken feeds anew, as far as they are wanted; one that breaks again soon after waits."""
        log.warning("a feed broke", origin=self.origin, reason=notice.text, feeds=len(notice.feeds))
        self._around.board.down(notice.feeds, notice.text)
        wanted = [feed for feed in notice.feeds if feed in self._around.board.watches]
        at_once = [feed for feed in wanted if self._resyncs.broke(feed, self._heard)]
        self.again(at_once)
        self._around.board.subscribed(feed for feed in wanted if feed not in at_once)

    # sending and watching

    async def _send(self) -> Ended:
        return Ended("send", f"cannot send: {await self._sender.run(self._socket)}")

    async def _watch(self) -> Ended:
        """Notice silence (a mute socket is dead, whatever TCP says), age, and when it has settled; send pings."""
        limits, clock = self._around.exchange.limits, self._around.clock
        pinged = self._opened
        while True:
            await clock.sleep(WATCH_INTERVAL)
            now = clock.monotonic()
            if self._around.barred():
                return Ended("forced", "the breaker was opened by an operator")
            if self._around.outbox.held:
                self._heard = now  # it is we who do not listen
            if now - self._heard > limits.silence:
                return Ended("silent", f"no frame for {limits.silence:g} s")
            if now - self._opened > limits.lifetime * LIFETIME_SHARE:
                self.expiring.set()
            if self._first_data is not None and now - self._first_data > OVERLAP and not self._sender.waiting:
                self.settled.set()
            self.again(self._resyncs.due(now))
            if limits.ping_interval is not None and now - pinged >= limits.ping_interval:
                pinged = now
                if (ping := self._around.exchange.ping()) is not None:
                    self._sender.text(ping)
