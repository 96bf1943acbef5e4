"""Valkey as a child of the daemon: append-only file, no eviction, a unix socket that only this user can open."""

import asyncio
import signal
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bus.errors import BusUnavailable
from daemon.embedded import wheels
from daemon.embedded.datadir import DataDirectory
from daemon.embedded.process import Child, StopStep

_SOCKET = "valkey.sock"
_START_SECONDS = 600.0
"""A long append-only file takes its time to load: about a second per 100 MB."""
_STOP = (StopStep(signal.SIGTERM, 20), StopStep(signal.SIGKILL, 5))

_SETTINGS = {
    "unixsocket": _SOCKET,
    "unixsocketperm": "700",
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "save": "",  # the append-only file is the persistence, snapshots would double the writing
    "appendonly": "yes",
    "appendfsync": "everysec",  # the publisher's ring resends what a power cut takes
    "aof-load-truncated": "yes",  # a kill in the middle of a write must not stop the next start
    "maxmemory-policy": "noeviction",  # an evicted stream is silent loss, a refused XADD is not
    "daemonize": "no",
    "logfile": "",  # standard output, which is our log file
}
"""https://github.com/valkey-io/valkey/blob/9.0/valkey.conf"""


class Valkey:
    """The embedded Valkey of one data directory.

    `port`: also listen on this loopback port, without a password, for other programs of this machine; None: do not.
    `maxmemory`: in bytes; beyond it writes are refused. None: all the machine has.
    """

    def __init__(self, data: DataDirectory, port: int | None = None, maxmemory: int | None = None) -> None:
        self.home = data.folder("valkey")
        self.url = f"unix://{quote(str(data.reach(self.home) / _SOCKET))}"
        self.child = Child("valkey", data.folder("log"), _STOP)
        self._settings = {**_SETTINGS, "port": str(port or 0), "maxmemory": str(maxmemory or 0)}

    async def start(self) -> None:
        """Start and wait until it answers. Raises ConfigError without its wheel, BusUnavailable if it cannot start."""
        server = wheels.valkey_server()
        await self.child.end_leftover()
        options = [word for name, value in self._settings.items() for word in (f"--{name}", value)]
        self.child.spawn([server, *options], self.home)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._ready()
        except TimeoutError as error:
            said = self.child.last_words()
            raise BusUnavailable(f"Valkey does not answer after {_START_SECONDS:.0f} s. It says:\n{said}") from error

    async def stop(self) -> None:
        """Stop: it writes out its append-only file first."""
        await self.child.stop()

    async def _ready(self) -> None:
        async with Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), socket_timeout=5) as redis:
            while self.child.alive:
                try:
                    await redis.ping()
                except (RedisError, OSError):  # no socket yet, or LOADING
                    await asyncio.sleep(0.01)
                else:
                    return
        raise BusUnavailable(self.child.obituary("Valkey"))
