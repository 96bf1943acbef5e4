"""Records raw frames: the collectors of `run` with a translator that writes down everything that passes through it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import aiohttp

from bus.clock import SystemClock
from bus.errors import ExchangeUnavailable
from bus.leadership import Leadership
from bus.local import LocalBus
from daemon.bans import banned, kept_state
from daemon.collectors.exchange import ExchangeCollector, FeedSettings
from daemon.config import Config
from daemon.exchanges import load
from daemon.exchanges.base import Endpoints, Exchange, Request, Translated
from daemon.recording import RecordingWriter


def _recording(translator: type[Exchange], writer: RecordingWriter, endpoints: Endpoints) -> Exchange:
    """Make a translator of this kind that writes what it is given before it looks at it."""

    class Recorded(translator):  # type: ignore[misc, valid-type] # whichever exchange it is
        def __init__(self) -> None:
            super().__init__()
            self._urls: dict[int, str] = {}

        def connected(self, connection: int, url: str) -> None:
            self._urls[connection] = url
            super().connected(connection, url)

        def parse(self, frame: bytes, recv: int, connection: int = 0) -> list[Translated]:
            writer.write(recv, "ws", self._urls[connection], _text(frame))
            return super().parse(frame, recv, connection)  # type: ignore[no-any-return] # as above

        def answer(self, request: Request, body: bytes | str, recv: int) -> list[Translated]:
            query = "&".join(f"{key}={value}" for key, value in request.params.items())
            writer.write(recv, "rest", f"{endpoints.rest}{request.path}{'?' * bool(query)}{query}", _text(body))
            return super().answer(request, body, recv)  # type: ignore[no-any-return] # as above

    return Recorded()


def _text(body: bytes | str) -> str:
    return body if isinstance(body, str) else body.decode(errors="replace")


async def record(
    config: Config, name: str, symbols: Sequence[str], channels: Sequence[str], output: Path, seconds: float | None
) -> None:
    """Record until cancelled or for some seconds.

    Raises ConfigError; UsageError for a file that exists already; ExchangeUnavailable where nothing came.
    """
    translator = load(name)
    configured = next((exchange for exchange in config.exchanges if exchange.name == name), None)
    given = configured.endpoints if configured else None
    endpoints = Endpoints(
        (given and given.rest) or translator.endpoints.rest,
        (given and given.websocket) or translator.endpoints.websocket,
    )
    settings = FeedSettings(symbols, channels, configured.timeframes if configured else ("1m",), endpoints)
    with RecordingWriter(output, name) as writer:
        exchange = _recording(translator, writer, endpoints)
        async with kept_state(config) as state, aiohttp.ClientSession() as session:
            bus = LocalBus(state=state)
            leadership = Leadership("feeds", bus.lease("feeds"), SystemClock())
            collector = ExchangeCollector(exchange, settings, bus, leadership, session, SystemClock(), Random())
            with suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(seconds):
                    await collector.run()
    if not writer.messages:
        writer.discard()
        why = banned(collector) or f"{name} could not be reached"
        raise ExchangeUnavailable(f"{why}, there is nothing to record")
