"""Sessions with the database, in which nobody waits for ever for a process that stands still in a transaction."""

from typing import Any, Final, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"

CONNECT_TIMEOUT: Final = 10.0
LOCK_TIMEOUT: Final = 5.0
"""Seconds that a statement waits for another session's transaction before it fails, to be tried again."""
STANDING: Final = 5.0
"""Seconds after which a transaction that waits for its client counts as one of a process that stands still."""

_END_STANDING: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = $1 and usename = current_user and datname = current_database() and pid <> pg_backend_pid()
  and wait_event = 'ClientRead' and xact_start < clock_timestamp() - make_interval(secs => $2)
"""


async def connect(dsn: str, name: str) -> Connection:
    """Open a session, and end those of the same `name` whose process stands still in a transaction.

    Such a process is frozen, suspended or cut off, and somebody else does its work now; what it had not committed is
    still on the bus. Without this its locks stay until the server notices, which takes hours where a machine is gone.
    Raises asyncpg.PostgresError, OSError, TimeoutError.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT, server_settings={"application_name": name})
    try:
        await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT:g}s'", timeout=CONNECT_TIMEOUT)
        await connection.fetch(_END_STANDING, name, STANDING, timeout=CONNECT_TIMEOUT)
    except BaseException:
        connection.terminate()
        raise
    return connection
