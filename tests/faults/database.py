"""What can be done to the database of a running daemon from outside, and what its own log says of it."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.end_to_end.harness import PATIENCE
from tests.faults.running import Running

WRITER = "application_name = 'marketd persistence' and datname = current_database()"
"""Which sessions are the persistence handler's."""


class Database:
    """Two sessions beside the daemon's own: `sql` to do something, `eyes` to look on and to change settings.

    What a session sees of the others' activity stands still in a transaction, so nobody can do both.
    """

    def __init__(self, running: Running, sql: asyncpg.Connection, eyes: asyncpg.Connection) -> None:
        self.running = running
        self.sql = sql
        self.eyes = eyes

    @property
    def log(self) -> str:
        """What the server itself has written down."""
        (file,) = (self.running.marketd.home / "data").glob("**/postgres.log")
        return file.read_text(errors="replace")

    async def until(self, query: str, *arguments: object) -> None:
        """Wait until a query's answer is true."""
        async with asyncio.timeout(PATIENCE):
            while not await self.eyes.fetchval(query, *arguments):
                await asyncio.sleep(0.005)

    async def until_logged(self, text: str, times: int = 1) -> None:
        """Wait until the server has written something so often."""
        async with asyncio.timeout(PATIENCE):
            while self.log.count(text) < times:
                await asyncio.sleep(0.05)

    async def until_held_up(self) -> None:
        """Wait until the persistence handler waits for a lock in the middle of its transaction."""
        await self.until(f"select exists (select from pg_stat_activity where wait_event_type = 'Lock' and {WRITER})")

    async def disconnect_writer(self) -> None:
        """End the persistence handler's session, as a restart of the server or a firewall would."""
        await self.eyes.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {WRITER}")

    @asynccontextmanager
    async def setting(self, name: str, value: str) -> AsyncIterator[None]:
        """Change a setting for sessions to come, of which the persistence handler's is one, until the block ends."""
        database = await self.eyes.fetchval("select current_database()")
        await self.eyes.execute(f"alter database {database} set {name} = '{value}'")
        try:
            await self.disconnect_writer()
            yield
        finally:
            await self.eyes.execute(f"alter database {database} reset {name}")
            await self.disconnect_writer()

    async def limit_files(self, size: int | None) -> None:
        """Let no file of sessions to come grow beyond this size: the kernel refuses to extend it."""
        prlimit = shutil.which("prlimit")
        assert prlimit is not None
        session = await self.eyes.fetchval("select pg_backend_pid()")
        pid = int(Path(f"/proc/{session}/stat").read_text().rpartition(")")[2].split()[1])  # the server's, its parent
        owner = Path(f"/proc/{pid}").stat()
        # only a process of the same user may do that without further rights
        subprocess.run(
            [prlimit, f"--pid={pid}", f"--fsize={size or 'unlimited'}:unlimited"],
            check=True, user=owner.st_uid, group=owner.st_gid, extra_groups=[],
        )  # fmt: skip
        await self.disconnect_writer()


@asynccontextmanager
async def database(running: Running) -> AsyncIterator[Database]:
    """Open sessions beside the daemon's own."""
    sql, eyes = await asyncpg.connect(running.dsn), await asyncpg.connect(running.dsn)
    try:
        yield Database(running, sql, eyes)
    finally:
        await sql.close()
        await eyes.close()


@asynccontextmanager
async def deadlock(db: Database) -> AsyncIterator[None]:
    """Lock what the handler needs next, then what it holds: one of the two must go."""
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = await db.eyes.fetchval(deadlocks)
    writes_trades = (
        "select exists (select from pg_locks join pg_stat_activity using (pid) "
        f"where relation = 'md.trades'::regclass and mode = 'RowExclusiveLock' and granted and {WRITER})"
    )
    async with db.setting("deadlock_timeout", "2s"):
        while True:
            async with db.sql.transaction():
                await db.sql.execute("set local deadlock_timeout = '5min'; lock table stream_offsets in exclusive mode")
                await db.until_held_up()
                if not await db.eyes.fetchval(writes_trades):
                    continue  # a batch of other channels
                await db.sql.execute("lock table md.trades in exclusive mode")
                yield
                break
        await db.until(f"select ({deadlocks}) > $1", before)
        await db.until_logged("deadlock detected")


@asynccontextmanager
async def serialization_failure(db: Database) -> AsyncIterator[None]:
    """Change a row that the handler is about to change, in a transaction that its own has not seen."""
    async with db.setting("default_transaction_isolation", "repeatable read"):
        async with db.sql.transaction():
            await db.sql.execute("update stream_offsets set updated_at = updated_at")
            await db.until_held_up()
            yield
        await db.until_logged("could not serialize access due to concurrent update")


@asynccontextmanager
async def read_only(db: Database) -> AsyncIterator[None]:
    """Take no writes, as a standby that has not been promoted yet."""
    async with db.setting("default_transaction_read_only", "on"):
        await db.until_logged("in a read-only transaction")
        yield


@asynccontextmanager
async def disk_full(db: Database) -> AsyncIterator[None]:
    """Let the kernel refuse to make the table's file any larger."""
    # the write-ahead log's files have 16 MiB: a limit above them stops the table alone
    await db.sql.execute(
        "insert into md.trades select 0, now(), i, 1, 1, 'buy', 0, ("
        "select string_agg(md5((i * 100 + j)::text), '') from generate_series(1, 50) j"
        ") from generate_series(1, 12000) i"
    )
    size = await db.sql.fetchval("select pg_relation_size('md.trades')")
    assert size > 17 << 20
    await db.limit_files(size)
    try:
        await db.sql.execute("alter table md.trades set (fillfactor = 10)")  # no room in the pages that there are
        await db.until_logged("File too large")
        yield
    finally:
        await db.sql.execute("alter table md.trades reset (fillfactor)")
        await db.limit_files(None)


@asynccontextmanager
async def dropped_connection(db: Database) -> AsyncIterator[None]:
    """End the session in the middle of its COPY."""
    copying = f"select exists (select from pg_stat_activity where state = 'active' and query like 'COPY%' and {WRITER})"
    async with db.sql.transaction():
        await db.sql.execute("lock table md.trades in exclusive mode")
        await db.until(copying)
        await db.disconnect_writer()
        yield


@asynccontextmanager
async def slow(db: Database) -> AsyncIterator[None]:
    """Take ten seconds over one batch."""
    await db.sql.execute(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(10); return null; end $$;"
        "create trigger slow before insert on md.trades for each statement execute function slow()"
    )
    try:
        await db.until(f"select exists (select from pg_stat_activity where wait_event = 'PgSleep' and {WRITER})")
        yield
    finally:
        await db.sql.execute("drop trigger slow on md.trades; drop function slow()")
