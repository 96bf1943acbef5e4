"""Puts the simulated exchange on a port."""

import asyncio
import gc
import sys
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from bus.clock import Clock, SystemClock
from bus.errors import MarketdError
from daemon.simulator.control import Control
from daemon.simulator.exchange import SimulatedExchange
from daemon.simulator.faults.board import FaultBoard
from daemon.simulator.faults.control import FaultControl
from daemon.simulator.history import KEPT
from daemon.simulator.rest import RestApi
from daemon.simulator.symbols import SYMBOLS, Symbol, listed
from daemon.simulator.websocket import LIFETIME, WebSocketApi
from daemon.simulator.weights import PER_MINUTE, Weights

HOST = "127.0.0.1"


class Simulator:
    """The simulated exchange, serving while entered. Raises MarketdError when the port cannot be had."""

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int = 1,
        rate: int = 200,
        symbols: tuple[Symbol, ...] = SYMBOLS,
        clock: Clock | None = None,
        weight_per_minute: int = PER_MINUTE,
        lifetime: float = LIFETIME,
        kept: int = KEPT,
        history_days: int = 0,
    ) -> None:
        clock = clock or SystemClock()
        self.port = port
        self.exchange = SimulatedExchange(
            clock, seed=seed, rate=rate, symbols=symbols, kept=kept, history_days=history_days
        )
        faults = FaultBoard(self.exchange, clock, Random(seed))
        self.exchange.each_slice = faults.pass_time
        self._websocket = WebSocketApi(self.exchange, faults, clock, lifetime)
        rest = RestApi(self.exchange, Weights(clock, weight_per_minute), faults)
        app = web.Application()
        app.add_routes(
            [
                *rest.routes(),
                *self._websocket.routes(),
                *Control(self.exchange, self._websocket).routes(),
                *FaultControl(faults, list(self.exchange.markets)).routes(),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The base URL of its REST API."""
        return f"http://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise MarketdError(
                f"port {self.port} cannot be had: {error.strerror}; choose another with --port"
            ) from error
        self.port = self._runner.addresses[0][1]
        self._task = asyncio.create_task(self.exchange.run(), name="order flow")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._websocket.disconnect_all()
        await self._runner.cleanup()

    async def failed(self) -> None:
        """Wait until the order flow has died, which it never should; raises what killed it."""
        assert self._task is not None
        await asyncio.shield(self._task)


async def run_simulator(
    *, port: int, seed: int, rate: int, symbols: int = 6, history_days: int = 0, until_eof: bool = False
) -> None:
    """Serve until cancelled; with `until_eof` also until standard input ends, as it does when a parent dies."""
    # The books hold a hundred thousand long-lived objects: collecting them again and again costs more than it frees.
    gc.set_threshold(100_000, 50, 1_000)
    async with Simulator(
        port=port, seed=seed, rate=rate, symbols=listed(symbols), history_days=history_days
    ) as simulator:
        print(f"simulated exchange on {simulator.url}, seed {seed}, {rate} order events/s", flush=True)  # noqa: T201
        waiting = [asyncio.create_task(simulator.failed())]
        if until_eof:
            waiting.append(asyncio.create_task(_end_of_input()))
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()


async def _end_of_input() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass
