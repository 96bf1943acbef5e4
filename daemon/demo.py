"""The exchange of `--demo`: `marketd simulate` as a child of the daemon."""

import asyncio
import re
import sys
from types import TracebackType
from typing import Final, Self

import structlog

from bus.errors import MarketdError
from daemon.config import Config, Endpoints, Exchange

log = structlog.get_logger(__name__)

DEMO_EXCHANGE: Final = Exchange(name="simulated", symbols=("BTC/USDT", "ETH/USDT", "SOL/USDT"))
START_DEADLINE: Final = 15.0
STOP_DEADLINE: Final = 3.0
RATE: Final = 300


def with_demo(config: Config, endpoints: Endpoints) -> Config:
    """Return a configuration with the simulated exchange; live ones only where the configuration names them itself."""
    own = config.exchanges if "exchanges" in config.model_fields_set else ()
    kept = [exchange for exchange in own if exchange.name != DEMO_EXCHANGE.name]
    return config.model_copy(update={"exchanges": (*kept, DEMO_EXCHANGE.model_copy(update={"endpoints": endpoints}))})


class SimulatorProcess:
    """Runs the simulated exchange beside the daemon, on a free port, for as long as the daemon runs."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        return Endpoints(rest=f"http://127.0.0.1:{self._port}", websocket=f"ws://127.0.0.1:{self._port}")

    async def __aenter__(self) -> Self:
        await self._start(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def watch(self) -> None:
        """Start it again on the same port whenever it ends."""
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("the simulated exchange ended, starting it again", status=status)
            await self._start(self._port)

    async def _start(self, port: int) -> None:
        # its own session: Ctrl-C is for the daemon, which ends it in its turn; the pipe ends it if the daemon is killed
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", "simulate", "--port", str(port), "--rate", str(RATE), "--until-eof",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_DEADLINE):
                line = (await self._process.stdout.readline()).decode()
        except TimeoutError:
            line = ""
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise MarketdError(f"the simulated exchange did not start within {START_DEADLINE:g} s: {line.strip()}")
        self._port = int(found[1])

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
