"""The operations on the store as background tasks: they do what their commands do, and write below data_dir alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bus.clock import ManualClock
from bus.errors import UsageError
from daemon.storage.kinds import Storekeeping
from daemon.storage.restore import restore
from daemon.storage.retention import Policy
from daemon.tasks.kind import Kinds
from daemon.tasks.progress import Progress
from tests.daemon.storage.rows import START, everything, ns

DAY = 86_400 * 10**9


@pytest.fixture
async def run(database: str, sql: asyncpg.Connection, tmp_path: Path) -> Callable[..., Any]:
    await everything(sql)
    clock = ManualClock(ns(START) + 3 * DAY)
    kinds = Kinds(Storekeeping(database, tmp_path, lambda: Policy({"trade": 2}), clock).kinds())

    async def run(kind: str, **args: object) -> Any:
        progress = Progress(clock, clock.now())
        result = await kinds.find(kind).run(args, progress)
        assert progress.done == progress.total
        assert json.loads(json.dumps(result)) == result
        return result

    return run


async def test_validate_reports_what_was_asked_for(run: Callable[..., Any]):
    report = await run("validate", exchange="x", channel="candle", since="4d")
    assert [(feed["symbol"], feed["timeframe"], feed["score"]) for feed in report["feeds"]] == [
        ("BTC/USDT", "1h", 1), ("BTC/USDT", "1m", 1),
    ]  # fmt: skip
    assert (await run("validate", since="1d"))["feeds"] == []


async def test_export_writes_below_data_dir(run: Callable[..., Any], tmp_path: Path):
    done = await run("export", channel="trade")
    assert done == {"written": 2, "unchanged": 0, "rows": 450}
    assert (tmp_path / "exports/x/BTC-USDT/trade/2024.csv.gz").exists()
    assert (await run("export", channel="trade"))["unchanged"] == 2


async def test_optimize_applies_retention_and_backup_can_be_restored(
    run: Callable[..., Any], sql: asyncpg.Connection, other_database: str, tmp_path: Path
):
    done = await run("optimize")
    assert done["retention"][0]["table"] == "trades"
    assert await sql.fetchval("select count(*) from md.trades") == 160
    rows = await run("backup", file="backups/one")
    assert rows["md.trades"] == 160
    await restore(other_database, tmp_path / "backups/one", lambda done, total: None)


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", ""])
@pytest.mark.parametrize(("kind", "name"), [("export", "output"), ("backup", "file")])
async def test_nothing_is_written_anywhere_else(run: Callable[..., Any], kind: str, name: str, path: str):
    with pytest.raises(UsageError, match=name):
        await run(kind, **{name: path})
