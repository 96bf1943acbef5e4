"""Opens WebSockets to one exchange: within its connect quota, through the breaker, within a deadline."""

import asyncio
from typing import Final, TypeAlias

import aiohttp

from bus import metrics
from bus.clock import Clock
from bus.errors import ExchangeUnavailable
from daemon.collectors.gate import Gate
from daemon.exchanges.base import Exchange
from daemon.resilience.breaker import Permit

CONNECT_TIMEOUT: Final = 15.0
CLOSE_TIMEOUT: Final = 2.0
LARGEST_FRAME: Final = 16 * 1024 * 1024
LONGEST_QUEUE: Final = 300.0
"""Seconds that the connect quota may make us wait."""
_LOOK_AGAIN: Final = 1.0
"""Seconds between looks at a closed gate: an operator can open it at any time."""

Socket: TypeAlias = aiohttp.ClientWebSocketResponse[bool]


class Dialler:
    """Opens sockets for one exchange. The permit that comes with one is owed a verdict: data or no data."""

    def __init__(self, exchange: Exchange, session: aiohttp.ClientSession, gate: Gate, clock: Clock) -> None:
        self._exchange = exchange
        self._session = session
        self._gate = gate
        self._clock = clock

    async def dial(self, url: str) -> tuple[Socket, Permit]:
        """Wait until connecting is allowed, then connect. Raises ExchangeUnavailable."""
        while True:
            await self._until_open()
            await self._gate.connects.acquire(1, LONGEST_QUEUE)
            permit = self._gate.websocket.permit()
            if permit is not None:
                break
        try:
            socket = await self._connect(url, permit)
        except BaseException:
            permit.release()  # cancelled: says nothing about the exchange
            raise
        metrics.CONNECTS.labels(self._exchange.name).inc()
        return socket, permit

    async def _until_open(self) -> None:
        while (wait := self._gate.connect_wait()) > 0:
            await self._clock.sleep(min(wait, _LOOK_AGAIN))

    async def _connect(self, url: str, permit: Permit) -> Socket:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._session.ws_connect(
                    url, autoping=False, max_msg_size=LARGEST_FRAME, decode_text=False, compress=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                )  # fmt: skip
        except aiohttp.WSServerHandshakeError as error:
            permit.fail(f"HTTP {error.status}")
            standing = self._exchange.standing(error.status, error.headers or {}, b"", self._clock.now())
            await self._gate.turned_away(standing)
            raise ExchangeUnavailable(f"{self._exchange.name} refuses to connect: HTTP {error.status}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # aiohttp's texts can hold the URL with its query, so only the kind of error is told
            permit.fail(type(error).__name__)
            raise ExchangeUnavailable(f"cannot connect to {self._exchange.name}: {type(error).__name__}") from error
