"""A Valkey of a test's own, for what a shared one must not suffer: kills, wiped files, other settings."""

import asyncio
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bus.redis.connection import connect
from daemon.embedded import wheels

_OPTIONS = ("--port", "0", "--unixsocket", "v.sock", "--appendonly", "yes", "--save", "")

USERS_FILE = Path(__file__).parents[1] / "deploy" / "redis" / "users.acl"
USERS = ("default", "marketd", "subscriber", "reader", "trader", "operator")


def with_passwords() -> str:
    """The users that are shipped, with a password behind each name as the README says; it is the name itself."""
    text = USERS_FILE.read_text()
    for user in USERS:
        text = text.replace(f"user {user} ", f"user {user} #{sha256(user.encode()).hexdigest()} ")
    return text


class Server:
    """A Valkey of its own that can be killed, and started again with its files as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/v.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def url_of(self, user: str) -> str:
        """The URL for a user whose password is his name."""
        return f"unix://{user}:{user}@{self.folder}/v.sock"

    async def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [wheels.valkey_server(), *_OPTIONS, *options], cwd=self.folder, stdout=subprocess.DEVNULL
        )
        async with connect(self.url) as client:
            async with asyncio.timeout(60):
                while not await self._answers(client):
                    assert self.process.poll() is None, "the server has refused to start"
                    await asyncio.sleep(0.01)

    async def _answers(self, client: Redis) -> bool:
        try:
            return bool(await client.ping())
        except (RedisError, OSError) as error:
            return "Authentication required" in str(error)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)
        (self.folder / "v.sock").unlink(missing_ok=True)

    def log_file(self) -> Path:
        return next(self.folder.glob("appendonlydir/*.incr.aof"))
