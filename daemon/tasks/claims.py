"""Which process runs a task: the one that holds an advisory lock on it, which ends with the process that took it."""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from bus.errors import StoreUnavailable, said

TIMEOUT: Final = 10.0
_KEY: Final = "hashtextextended('marketd task ' || $1, 0)"
_SERVICE: Final = "hashtextextended('marketd serves tasks', 0)"
FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Claims:
    """One database session whose advisory locks are this process's claims.

    A killed process loses its claims at once, and so does one whose session breaks: then `lost` is set.
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[Any] | None = None
        self.lost = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the session. Raises StoreUnavailable."""
        try:
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=TIMEOUT,
                command_timeout=TIMEOUT,
                server_settings={"application_name": "marketd tasks"},
            )
        except FAILURES as error:
            raise _unavailable(error) from error
        self._connection.add_termination_listener(self._died)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def take(self, identity: str) -> bool:
        """Claim a task; False while another process has it. Raises StoreUnavailable."""
        return bool(await self._ask(f"select pg_try_advisory_lock({_KEY})", identity))

    async def give(self, identity: str) -> None:
        """Give a claim up. Raises StoreUnavailable."""
        await self._ask(f"select pg_advisory_unlock({_KEY})", identity)

    async def serve(self) -> None:
        """Say that this process takes whatever is to be done. Raises StoreUnavailable."""
        await self._ask(f"select pg_advisory_lock_shared({_SERVICE})")

    async def served(self) -> bool:
        """Say whether another process takes whatever is to be done. Raises StoreUnavailable."""
        if not await self._ask(f"select pg_try_advisory_lock({_SERVICE})"):
            return True
        await self._ask(f"select pg_advisory_unlock({_SERVICE})")
        return False

    async def _ask(self, query: str, *arguments: object) -> Any:
        assert self._connection is not None, "claims are taken in an open session"
        try:
            return await self._connection.fetchval(query, *arguments)
        except FAILURES as error:
            raise _unavailable(error) from error

    def _died(self, _: object) -> None:
        self.lost.set()


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"tasks cannot be claimed: {said(error)}")
