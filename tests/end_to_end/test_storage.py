"""What is stored is reported, copied, backed up while the daemon runs, and restored on an empty machine."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.sql import rows


def ask(dsn: str, query: str) -> list[str]:
    return [row[0] for row in rows(dsn, query)]


def output(marketd: Marketd, *arguments: str) -> str:
    done = marketd.run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_running_daemon_s_data_is_reported_copied_and_restored(
    marketd: Marketd, simulate: Callable[..., Simulated], tmp_path: Path
):
    exchange = simulate(rate=1_000)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    dsn = marketd.urls()["dsn"]
    wait_until("trades are stored", lambda: ask(dsn, "select count(*) from trades")[0] > 500)

    stats = json.loads(output(marketd, "data", "stats", "--json"))
    assert {feed["channel"] for feed in stats["feeds"]} >= {"trade", "ticker", "book", "candle"}
    quality = json.loads(output(marketd, "data", "validate", "--channel", "trade", "--json"))["feeds"]
    assert [(feed["symbol"], feed["score"]) for feed in quality] == [("BTC/USDT", 1)]
    assert json.loads(output(marketd, "data", "gaps", "--channel", "trade", "--json")) == {"gaps": []}
    assert "fine" in output(marketd, "db", "test")

    output(marketd, "data", "export", "--output", "copies", "--channel", "trade")
    (file,) = (marketd.home / "copies").rglob("*.csv.gz")
    about = json.loads(next(file.parent.glob("*.metadata.json")).read_text())
    assert hashlib.sha256(file.read_bytes()).hexdigest() == about["sha256"]
    ids = [line.split(",")[1] for line in gzip.decompress(file.read_bytes()).decode().splitlines()[1:]]
    assert len(ids) == about["rows"]
    assert ids == ask(dsn, "select id from trades order by ts, length(id), id")[: len(ids)]

    replies = output(marketd, "ctl", "task.start", "kind=backup", 'args={"file":"saved"}', "--json").splitlines()
    assert [json.loads(reply)["status"] for reply in (replies[0], replies[-1])] == ["accepted", "done"]
    assert marketd.stop() == 0

    target = tmp_path / "saved"
    target.write_bytes((marketd.home / "data" / "saved").read_bytes())
    before = ask_stored(marketd)
    (marketd.home / "data").rename(marketd.home / "old")
    assert "restored" in output(marketd, "db", "restore", str(target))
    restored = ask_stored(marketd)
    assert len(restored) > 500
    assert restored == before[: len(restored)]  # as of the backup's moment
    again = marketd.run("db", "restore", str(target))
    assert again.returncode == 2
    assert "holds rows already" in again.stderr
    assert "trades" in output(marketd, "db", "optimize")


def ask_stored(marketd: Marketd) -> list[str]:
    """The trades of a stopped daemon, by way of a copy."""
    folder = marketd.home / f"copy{len(list(marketd.home.glob('copy*')))}"
    output(marketd, "data", "export", "--output", str(folder), "--channel", "trade")
    (file,) = folder.rglob("*.csv.gz")
    return gzip.decompress(file.read_bytes()).decode().splitlines()[1:]
