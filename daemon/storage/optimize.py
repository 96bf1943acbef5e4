"""Upkeep at once instead of in its own time: compresses what is due, brings aggregates up to date, vacuums."""

from typing import Final

import asyncpg
import msgspec
import structlog

from daemon.storage.backup import present_tables
from daemon.storage.database import Connection, Progress, connected
from daemon.storage.stats import TableStats, tables
from migrations.runner import capabilities

log = structlog.get_logger(__name__)

_POLICIES: Final = ("policy_compression", "policy_refresh_continuous_aggregate")


class Optimized(msgspec.Struct, frozen=True):
    """The tables of events before and after, and what could not be done now."""

    before: list[TableStats]
    after: list[TableStats]
    failed: list[str]


async def optimize(dsn: str, progress: Progress) -> Optimized:
    """Do what the database's own jobs would do by and by. Progress is in steps. Raises StoreUnavailable.

    A step that cannot be taken now, because the same job runs already for example, is skipped and named.
    """
    async with connected(dsn) as connection:
        before = await tables(connection)
        vacuum = [f"vacuum (analyze) {table}" for table in await present_tables(connection)]
        steps = [*await _policies(connection), *vacuum]
        failed = []
        for done, step in enumerate(steps):
            progress(done, len(steps))
            try:
                await connection.execute(step)
            except asyncpg.PostgresError as error:
                log.warning("a step of the upkeep failed", step=step, error=str(error))
                failed.append(f"{step}: {error}")
        progress(len(steps), len(steps))
        return Optimized(before, await tables(connection), failed)


async def _policies(connection: Connection) -> list[str]:
    """Return what runs TimescaleDB's own jobs on our tables now."""
    if "timescaledb-community" not in await capabilities(connection):
        return []
    rows = await connection.fetch(
        "select j.job_id from timescaledb_information.jobs j left join timescaledb_information.continuous_aggregates a "
        "on (a.materialization_hypertable_schema, a.materialization_hypertable_name) "
        "= (j.hypertable_schema, j.hypertable_name) "
        "where j.proc_name = any($1) and 'md' in (j.hypertable_schema, a.view_schema) order by j.job_id",
        list(_POLICIES),
    )
    return [f"call run_job({row['job_id']})" for row in rows]
