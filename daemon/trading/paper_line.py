"""Passes commands on to the process that runs paper trading, and waits for what came of them."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from bus.clock import SECOND, Clock
from bus.errors import MarketdError, Poison
from bus.events import Event
from bus.frames import decode_frame
from bus.paper import PaperCommand, PaperReply
from bus.redis import RedisBus
from bus.redis.connection import reaching
from daemon.control.request import Rejected

PATIENCE: Final = 8.0
"""Seconds in which an answer must come; a command that has waited longer is not carried out any more."""
_BLOCK_MS: Final = 250


class PaperLine:
    """The way from the command server to paper trading, over the bus, in whatever process it runs."""

    def __init__(self, bus: RedisBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def ask(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Have a command carried out, in order with the market events, and return its result.

        Raises Rejected for what paper trading declines, MarketdError where nobody answers, BusUnavailable.
        """
        stream = self._bus.names.paper
        async with reaching(self._bus.url):
            last = await self._bus.client.xrevrange(stream, count=1)
        cursor = last[0][0] if last else b"0"
        now = self._clock.now()
        command = PaperCommand(now, uuid4().hex, name, dict(args), now + round(PATIENCE * SECOND))
        await self._bus.publish([command])
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await self._reply(stream, cursor, command.id)
        except TimeoutError:
            raise MarketdError(
                f"paper trading did not answer within {PATIENCE:g} s: does a marketd with the role handle:paper run?"
            ) from None
        if reply.code:
            raise Rejected(reply.code, reply.message)
        return reply.result or {}

    async def _reply(self, stream: str, cursor: bytes, identity: str) -> PaperReply:
        while True:
            async with reaching(self._bus.url):
                answer = await self._bus.client.xread({stream: cursor}, block=_BLOCK_MS)
            for entry, fields in answer[0][1] if answer else ():
                cursor = entry
                for event in _events(stream, entry, fields):
                    if isinstance(event, PaperReply) and event.id == identity:
                        return event


def _events(stream: str, entry: bytes, fields: Mapping[bytes, bytes]) -> list[Event]:
    try:
        return decode_frame(stream, entry.decode(), fields)[0].events
    except Poison:
        return []  # not written by marketd
