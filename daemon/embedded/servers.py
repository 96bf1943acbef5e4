"""The embedded servers of one daemon: started together, watched, restarted, stopped, and found by other programs."""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bus.errors import ConfigError
from daemon.embedded.datadir import DataDirectory, is_locked, refusals_as_sentences
from daemon.embedded.postgres import Postgres
from daemon.embedded.valkey import Valkey

_URLS = "servers.json"
_WATCH_SECONDS = 0.2


class Death(NamedTuple):
    """A server that ended by itself: its name for `restart`, and a sentence for the operator."""

    name: str
    reason: str


class EmbeddedServers:
    """Valkey and PostgreSQL as children of this process, in a data directory that is locked meanwhile.

    Enter from the thread that lives as long as the daemon: the servers end with that thread. Entering raises
    ConfigError for what the operator must set right (data directory, wheels, rights), BusUnavailable and
    StoreUnavailable when a server does not start.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        valkey: bool,
        postgres: bool,
        valkey_port: int | None = None,
        postgres_port: int | None = None,
        valkey_maxmemory: int | None = None,
    ) -> None:
        self._path = data_dir
        self._wire: Callable[[DataDirectory], dict[str, Valkey | Postgres]] = lambda data: {
            **({"valkey": Valkey(data, valkey_port, valkey_maxmemory)} if valkey else {}),
            **({"postgres": Postgres(data, postgres_port)} if postgres else {}),
        }
        self._servers: dict[str, Valkey | Postgres] = {}
        self._held = ExitStack()
        """The data directory, while we are entered."""

    @property
    def redis_url(self) -> str | None:
        """URL of the embedded Valkey, None when it was not asked for."""
        return self._url("valkey")

    @property
    def dsn(self) -> str | None:
        """URL of the embedded PostgreSQL, None when it was not asked for."""
        return self._url("postgres")

    @property
    def pids(self) -> dict[str, int | None]:
        """Process ids by server name; None for one that is dead."""
        return {name: server.child.pid for name, server in self._servers.items()}

    async def __aenter__(self) -> Self:
        if sys.platform != "linux":
            raise ConfigError(
                "The embedded servers need Linux: set bus.url and store.dsn to the URLs of running servers."
            )
        with ExitStack() as undo:
            data = undo.enter_context(DataDirectory(self._path))
            (data.path / _URLS).unlink(missing_ok=True)  # a killed daemon's
            undo.callback((data.path / _URLS).unlink, missing_ok=True)
            try:
                with refusals_as_sentences(data.path):
                    self._servers = self._wire(data)
                    await self._start()
                    self._publish(data)
            except BaseException:
                await self._stop()
                raise
            self._held = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            await self._stop()

    async def wait_dead(self) -> Death:
        """Wait until a server has ended by itself. The logs are kept within bounds meanwhile."""
        while True:
            for name, server in self._servers.items():
                if not server.child.alive:
                    return Death(name, server.child.obituary(name.capitalize()))
                server.child.bound_log()
            await asyncio.sleep(_WATCH_SECONDS)

    async def restart(self, name: str) -> None:
        """Start a server again under its old URL. Raises as entering does."""
        server = self._servers[name]
        with refusals_as_sentences(self._path):
            await server.stop()
            await server.start()

    async def _start(self) -> None:
        try:
            async with asyncio.TaskGroup() as starting:
                for server in self._servers.values():
                    starting.create_task(server.start())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers.values()))

    def _url(self, name: str) -> str | None:
        server = self._servers.get(name)
        return server.url if server is not None else None

    def _publish(self, data: DataDirectory) -> None:
        """Leave the URLs for `running_urls`, whole or not at all."""
        draft = data.path / f"{_URLS}.new"
        draft.write_text(json.dumps([self.redis_url, self.dsn]))
        draft.replace(data.path / _URLS)


def running_urls(data_dir: Path) -> tuple[str | None, str | None]:
    """Return the URLs of Valkey and PostgreSQL that the daemon running on this data directory offers.

    None for a server that it does not embed, and for both when no daemon runs there (or it is still starting).
    """
    directory = data_dir.expanduser()
    if not is_locked(directory):
        return None, None
    try:
        redis_url, dsn = json.loads((directory / _URLS).read_text())
    except FileNotFoundError:
        return None, None
    return redis_url, dsn
