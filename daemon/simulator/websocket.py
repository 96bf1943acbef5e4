"""Binance spot's WebSocket streams: connections, subscriptions, limits, pings.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

import asyncio
import json
import re
from collections import deque
from contextlib import suppress
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from bus.clock import Clock
from daemon.simulator.bars import NAMES
from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.faults.board import FaultBoard
from daemon.simulator.faults.http import refuse
from daemon.simulator.streams import Client

log = structlog.get_logger(__name__)

MOST_STREAMS: Final = 1_024
MESSAGES_A_SECOND: Final = 5
PING_INTERVAL: Final = 20.0
PATIENCE: Final = 60.0
"""Seconds without a pong, or anything else, before a client counts as gone."""
LOOK: Final = 0.1
"""Seconds between two looks at a connection."""
LIFETIME: Final = 24 * 3_600.0
LARGEST_MESSAGE: Final = 64 * 1024
CLOSE_TIMEOUT: Final = 1.0

_KINDS: Final = re.compile(
    r"[a-z0-9]+@(trade|aggTrade|bookTicker|ticker|miniTicker|avgPrice|depth(5|10|20)?(@100ms|@1000ms)?|kline_("
    + "|".join(NAMES)
    + "))|!(ticker|miniTicker)@arr"
)


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str, identity: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.identity = identity


class WebSocketApi:
    """The endpoints /ws and /stream."""

    def __init__(
        self, exchange: SimulatedExchange, faults: FaultBoard, clock: Clock, lifetime: float = LIFETIME
    ) -> None:
        self._exchange = exchange
        self._faults = faults
        self._clock = clock
        self._lifetime = lifetime
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this API."""
        return [
            web.get("/ws", self._raw),
            web.get("/ws/{streams:.+}", self._raw),
            web.get("/stream", self._combined),
        ]

    async def disconnect_all(self) -> int:
        """End every connection, as an exchange does for maintenance."""
        sockets = list(self._sockets)
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in sockets))
        return len(sockets)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.match_info.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=True)

    async def _serve(self, request: web.Request, names: list[str], *, combined: bool) -> web.StreamResponse:
        if (fault := self._faults.answer(request.path)) is not None and (refusal := await refuse(fault)):
            return refusal
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=LARGEST_MESSAGE, autoping=False, timeout=CLOSE_TIMEOUT
        )
        await socket.prepare(request)
        transport = request.transport
        assert transport is not None
        client = Client(transport, combined=combined)
        hold = self._faults.dropping()
        client.muted = hold is not None
        streams = self._exchange.streams
        streams.join(client)
        self._sockets.add(socket)
        minding = asyncio.create_task(self._mind(socket, client, self._lifetime if hold is None else hold))
        try:
            for name in names[:MOST_STREAMS]:
                if _KINDS.fullmatch(name):  # Binance says nothing about streams that it does not have
                    streams.subscribe(client, name)
            await self._listen(socket, client)
        finally:
            minding.cancel()
            self._sockets.discard(socket)
            streams.leave(client)
        return socket

    async def _mind(self, socket: web.WebSocketResponse, client: Client, lifetime: float) -> None:
        """Ping a client; end its connection after its time, or when its reader is too slow or does not answer."""
        now = self._clock.monotonic()
        end, ping, client.heard = now + lifetime, now + PING_INTERVAL, now
        while now < end and not client.ending.is_set() and not client.too_slow and now < client.heard + PATIENCE:
            await self._clock.sleep(min(LOOK, lifetime))
            now = self._clock.monotonic()
            if now >= ping and not client.dead:
                ping = now + PING_INTERVAL
                await socket.ping()
        if client.too_slow:
            log.warning("client is too slow, disconnecting it")
        if not client.muted:
            with suppress(TimeoutError):  # who does not read cannot take a farewell either
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION if client.too_slow else WSCloseCode.OK)
        client.abort()

    async def _listen(self, socket: web.WebSocketResponse, client: Client) -> None:
        recent: deque[float] = deque(maxlen=MESSAGES_A_SECOND)
        async for message in socket:
            now = client.heard = self._clock.monotonic()
            if client.dead:
                continue
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            if message.type is not WSMsgType.TEXT:
                continue
            if len(recent) == MESSAGES_A_SECOND and now - recent[0] < 1.0:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests")
                return
            recent.append(now)
            await socket.send_str(self._answer(client, message.data))

    def _answer(self, client: Client, text: str) -> str:
        try:
            result, identity = self._do(client, text)
        except _Refused as refused:
            error = {"code": refused.code, "msg": str(refused)}
            return json.dumps({"error": error, "id": refused.identity})
        return json.dumps({"result": result, "id": identity})

    def _do(self, client: Client, text: str) -> tuple[Any, Any]:
        method, params, identity = _read(text)
        streams = self._exchange.streams
        match method:
            case "SUBSCRIBE":
                names = _names(params, identity)
                if len(client.streams.keys() | set(names)) > MOST_STREAMS:
                    raise _Refused(2, f"Invalid request: too many streams, at most {MOST_STREAMS}", identity)
                for name in names:
                    streams.subscribe(client, name)
            case "UNSUBSCRIBE":
                for name in _names(params, identity):
                    streams.unsubscribe(client, name)
            case "LIST_SUBSCRIPTIONS":
                return list(client.streams), identity
            case "GET_PROPERTY":
                return client.combined, identity
            case "SET_PROPERTY":
                if len(params) != 2 or params[0] != "combined" or not isinstance(params[1], bool):  # noqa: PLR2004
                    raise _Refused(2, "Invalid request: Invalid value type: expected Boolean", identity)
                streams.change_form(client, combined=params[1])
            case _:
                raise _Refused(2, "Invalid request: unknown variant, expected one of `SUBSCRIBE`, …", identity)
        return None, identity


def _read(text: str) -> tuple[Any, list[Any], Any]:
    """Read a request: method, params, id."""
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Refused(3, f"Invalid JSON: {error}") from None
    if not isinstance(request, dict):
        raise _Refused(2, "Invalid request: request must be a JSON object")
    identity, params = request.get("id"), request.get("params", [])
    if identity is not None and not isinstance(identity, int | str):
        raise _Refused(2, "Invalid request: request ID must be an unsigned integer or a string")
    if not isinstance(params, list):
        raise _Refused(2, "Invalid request: params must be an array", identity)
    return request.get("method"), params, identity


def _names(params: list[Any], identity: Any) -> list[str]:
    if not all(isinstance(name, str) for name in params):
        raise _Refused(2, "Invalid request: params must be an array of strings", identity)
    return [name for name in params if _KINDS.fullmatch(name)]
