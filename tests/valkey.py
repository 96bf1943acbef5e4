"""A Valkey of a test's own, for what a shared one must not suffer: kills, wiped files, other settings."""

import asyncio
import signal
import subprocess
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from daemon.embedded import wheels

_OPTIONS = ("--port", "0", "--unixsocket", "v.sock", "--appendonly", "yes", "--save", "")


class Server:
    """A Valkey of its own that can be killed, and started again with its files as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/v.sock"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [wheels.valkey_server(), *_OPTIONS, *options], cwd=self.folder, stdout=subprocess.DEVNULL
        )
        async with Redis.from_url(self.url) as client:
            async with asyncio.timeout(10):
                while not await self._answers(client):
                    await asyncio.sleep(0.01)

    async def _answers(self, client: Redis) -> bool:
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)
        (self.folder / "v.sock").unlink(missing_ok=True)

    def log_file(self) -> Path:
        return next(self.folder.glob("appendonlydir/*.incr.aof"))
