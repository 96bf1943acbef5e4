"""One WebSocket connection: opens, subscribes in paced chunks, reads until it ends, and says why it ended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from bus import metrics
from bus.clock import Clock
from daemon.exchanges.base import Exchange

CONNECT_TIMEOUT: Final = 15.0
CLOSE_TIMEOUT: Final = 2.0
LARGEST_FRAME: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Ended:
    """Why a connection is over. `planned`: we or the exchange meant it, nobody failed."""

    reason: str
    planned: bool = False


class Connection:
    """One socket to one exchange. `frames` is what is done with each frame; it must be quick or wait for the bus."""

    def __init__(
        self,
        number: int,
        exchange: Exchange,
        endpoint: str,
        session: aiohttp.ClientSession,
        clock: Clock,
        frames: Callable[["Connection", bytes], Awaitable[None]],
    ) -> None:
        self.number = number
        self._exchange = exchange
        self.url = exchange.url(endpoint)
        self._session = session
        self._clock = clock
        self._frames = frames
        self._outbox: asyncio.Queue[str] = asyncio.Queue(maxsize=1_000)
        self._message_id = 0
        self._last_frame = 0.0
        self._ending: Ended | None = None
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None
        self.opened = asyncio.Event()

    async def run(self) -> Ended:
        """Open and read until the end. Cancelling closes the socket."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                socket = await self._session.ws_connect(
                    self.url, max_msg_size=LARGEST_FRAME, decode_text=False, autoclose=True, compress=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                )  # fmt: skip
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Ended(f"cannot connect: {error or type(error).__name__}")
        metrics.CONNECTS.labels(self._exchange.name).inc()
        self._socket = socket
        self._last_frame = self._clock.monotonic()
        self.opened.set()
        helpers = [asyncio.create_task(self._send_paced()), asyncio.create_task(self._watch_silence())]
        if self._exchange.limits.ping_interval is not None:
            helpers.append(asyncio.create_task(self._ping(self._exchange.limits.ping_interval)))
        try:
            return await self._read(socket)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await socket.close()

    def end(self, reason: str, *, planned: bool) -> None:
        """Close it; `run` returns soon."""
        if self._ending is None:
            self._ending = Ended(reason, planned)
            if self._socket is not None:
                self._closing = asyncio.create_task(self._close(self._socket))

    async def _close(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        await socket.close()

    def subscribe(self, streams: Sequence[str]) -> None:
        """Ask for streams; the messages go out at the pace that the exchange allows."""
        self._in_chunks(streams, self._exchange.subscribe)

    def unsubscribe(self, streams: Sequence[str]) -> None:
        """Give streams up."""
        self._in_chunks(streams, self._exchange.unsubscribe)

    def send(self, text: str) -> None:
        """Send one message at the next free moment."""
        self._outbox.put_nowait(text)

    def _in_chunks(self, streams: Sequence[str], message: Callable[[Sequence[str], int], str]) -> None:
        size = self._exchange.limits.streams_per_message
        for start in range(0, len(streams), size):
            self._message_id += 1
            self.send(message(streams[start : start + size], self._message_id))

    async def _send_paced(self) -> None:
        assert self._socket is not None
        while True:
            text = await self._outbox.get()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await self._socket.send_str(text)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.end(f"cannot send: {error or type(error).__name__}", planned=False)
                return
            await self._clock.sleep(self._exchange.limits.message_interval)

    async def _ping(self, interval: float) -> None:
        while True:
            await self._clock.sleep(interval)
            text = self._exchange.ping()
            if text is not None:
                self.send(text)

    async def _watch_silence(self) -> None:
        """A connected but mute socket is the most common silent failure: it is dead, whatever TCP says."""
        silence = self._exchange.limits.silence
        while True:
            quiet = self._clock.monotonic() - self._last_frame
            if quiet >= silence:
                self.end(f"no frame for {silence:g} s", planned=False)
                return
            await self._clock.sleep(silence - quiet)

    async def _read(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> Ended:
        received = 0
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        counter = metrics.FRAMES_RECEIVED.labels(self._exchange.name, "ws")
        try:
            while True:
                message = await socket.receive()
                if message.type is text or message.type is binary:
                    self._last_frame = self._clock.monotonic()
                    received += 1
                    if received == 256:  # noqa: PLR2004 # counting each one costs as much as parsing it
                        counter.inc(received)
                        received = 0
                    await self._frames(self, message.data)
                else:
                    return self._ending or Ended(self._describe(socket, message))
        finally:
            counter.inc(received)

    def _describe(self, socket: "aiohttp.ClientWebSocketResponse[bool]", message: Any) -> str:
        if message.type is aiohttp.WSMsgType.ERROR:
            return f"broken: {message.data or socket.exception()}"
        return f"closed by the exchange with code {socket.close_code}"
