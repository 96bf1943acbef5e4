"""A month of candles, its download killed again and again, and every row is the exchange's own, once."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from redis import Redis

from migrations.runner import migrate
from tests.end_to_end.harness import MARKETD, PATIENCE, Marketd, Simulated, get, wait_until
from tests.end_to_end.test_control import ctl
from tests.sql import rows

DAYS = int(os.environ.get("MARKETD_TEST_DAYS", "30"))
SYMBOLS = (
    "BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT", "ETH/BTC", "ADA/USDT", "DOGE/USDT", "TRX/USDT",
    "AVAX/USDT",
)  # fmt: skip
MINUTE = 60_000
Row = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal, int]


def own_candles(exchange: Simulated, symbol: str, start: int, end: int) -> dict[int, Row]:
    """The exchange's candles that open in a time (ms), by a client of a few lines."""
    found: dict[int, Row] = {}
    while start < end:
        query = f"symbol={symbol.replace('/', '')}&interval=1m&limit=1000&startTime={start}&endTime={end - 1}"
        status, text = get(f"{exchange.url}/api/v3/klines?{query}")
        assert status == 200, text
        rows = json.loads(text)
        if not rows:
            break
        for row in rows:
            found[row[0]] = (row[0], *map(Decimal, row[1:6]), row[8])
        start = rows[-1][0] + MINUTE
    return found


def stored_candles(dsn: str, symbol: str) -> dict[int, Row]:
    found = rows(dsn, "select * from candles where symbol = $1 and timeframe = '1m' and closed", symbol)
    assert len({row["open_ts"] for row in found}) == len(found)
    names = ("open", "high", "low", "close", "volume", "trades")
    return {
        ms: (ms, *(row[name] for name in names)) for row in found for ms in [round(row["open_ts"].timestamp() * 1_000)]
    }


def send(url: str, command: str, args: dict[str, Any], identity: str) -> None:
    """Send a command as any Redis client would."""
    with Redis.from_url(url) as redis:
        redis.xadd("md:commands", {"command": command, "args": json.dumps(args), "id": identity})


def replies(url: str, identity: str) -> list[dict[str, str]]:
    with Redis.from_url(url, decode_responses=True) as redis:
        return [fields for _, fields in redis.xrange("md:replies") if fields["id"] == identity]


def ends(url: str, identity: str) -> list[dict[str, str]]:
    return [reply for reply in replies(url, identity) if reply["status"] in {"done", "failed", "rejected"}]


def heed_interrupts() -> None:
    """What a shell runs in the background ignores SIGINT, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def count(dsn: str) -> int:
    return int(rows(dsn, "select count(*) as n from candles")[0]["n"])


def compare(exchange: Simulated, dsn: str, symbols: tuple[str, ...], since: datetime, until: datetime) -> None:
    for symbol in symbols:
        start, end = (round(moment.timestamp() * 1_000) for moment in (since, until))
        expected = own_candles(exchange, symbol, start, end)
        assert len(expected) == (end - start) // MINUTE
        stored = {opening: row for opening, row in stored_candles(dsn, symbol).items() if start <= opening < end}
        assert stored == expected


def test_a_download_killed_three_times_leaves_the_exchanges_own_rows(
    marketd: Marketd, simulate: Callable[..., Simulated], database: str, valkey_url: str, bus_prefix: str
):
    exchange = simulate(rate=20, symbols=10, history_days=DAYS)
    asyncio.run(migrate(database))
    marketd.configure(exchange.exchange())
    environment = marketd.environment() | {
        "MARKETD_STORE__DSN": database, "MARKETD_BUS__URL": valkey_url, "MARKETD_BUS__PREFIX": bus_prefix
    }  # fmt: skip
    until = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
    since = until - timedelta(days=DAYS) + timedelta(minutes=5)
    span = ["--since", since.isoformat(), "--until", until.isoformat()]
    command = [*MARKETD, "data", "download", "binance", *SYMBOLS, *span]
    total = len(SYMBOLS) * round((until - since).total_seconds() / 60)

    for share in (0.1, 0.4, 0.7):
        with marketd.log.open("ab") as log:
            process = subprocess.Popen(command, env=environment, cwd=marketd.home, stdout=log, stderr=log)
        wait_until(f"{share:.0%} are stored", lambda share=share: count(database) >= share * total)
        assert process.poll() is None, marketd.log.read_text()
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = count(database)
    assert before < total
    last = subprocess.run(
        command, env=environment, cwd=marketd.home, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert last.returncode == 0, last.stderr
    assert last.stdout.count("complete by its grid") == len(SYMBOLS)
    compare(exchange, database, SYMBOLS, since, until)
    (task,) = rows(database, "select * from tasks")
    assert (task["kind"], task["state"], task["done"]) == ("download", "done", task["total"])
    told = json.loads(task["result"])
    assert told["slices_fetched"] * 1_000 < total - before + 10 * 1_000  # only what was missing

    exchange.fault("http", path="klines", delay=20.0)  # so that it is under way for a while
    interrupted = subprocess.Popen(
        [*command[:-3], "60d"], env=environment, cwd=marketd.home, stderr=subprocess.DEVNULL,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 # pytest's process starts no threads that hold locks here
    )  # fmt: skip
    wait_until("it runs", lambda: rows(database, "select * from tasks where state = 'running'"))
    began = time.monotonic()
    interrupted.send_signal(signal.SIGINT)
    try:
        assert interrupted.wait(60) == 130
    finally:
        interrupted.kill()
        interrupted.wait()
    assert time.monotonic() - began < 25
    assert not rows(database, "select * from tasks where state in ('queued', 'running')")


def test_a_backfill_in_a_daemon_goes_on_after_kill_9_and_ends_when_it_is_told_to(
    marketd: Marketd, simulate: Callable[..., Simulated]
):
    exchange = simulate(rate=50, symbols=6, history_days=10)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    until = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
    since = until - timedelta(days=9)
    symbols = SYMBOLS[:4]
    asked = {
        "exchange": "binance", "symbols": symbols, "since": since.isoformat(), "until": until.isoformat(), "jobs": 1
    }  # fmt: skip
    send(marketd.urls()["redis"], "backfill.start", asked, "my-backfill")
    (first, *_) = wait_until("it is accepted", lambda: replies(marketd.urls()["redis"], "my-backfill"))
    assert first["status"] == "accepted"
    started = json.loads(first["result"])
    for done in (3, 20):
        dsn = marketd.urls()["dsn"]
        far = "select 1 from tasks where id = $1 and done >= $2"
        wait_until("slices are there", lambda dsn=dsn, done=done, far=far: rows(dsn, far, started["id"], done))
        marketd.stop(signal.SIGKILL)
        marketd.start().ready()
    urls = marketd.urls()
    query = "select * from tasks where id = $1 and state = 'done'"
    wait_until("the backfill is done", lambda: rows(urls["dsn"], query, started["id"]))
    compare(exchange, urls["dsn"], symbols, since, until)
    task = ctl(marketd, "task.get", f"id={started['id']}")
    assert task["result"]["complete"]
    told = wait_until("its end is told", lambda: ends(urls["redis"], "my-backfill"))
    assert [reply["status"] for reply in told] == ["done"]
    assert json.loads(told[0]["result"])["result"] == task["result"]
    assert any(reply["status"] == "progress" for reply in replies(urls["redis"], "my-backfill"))
    send(urls["redis"], "backfill.start", asked, "my-backfill")
    wait_until("the same command gets the same last word", lambda: ends(urls["redis"], "my-backfill") == told * 2)

    followed = marketd.run(
        "ctl", "backfill.start", "exchange=binance", f"symbols={json.dumps(symbols)}", f"since={since.isoformat()}"
    )
    assert followed.returncode == 0, followed.stderr
    assert "accepted" in followed.stdout
    assert "complete: true" in followed.stdout

    send(urls["redis"], "backfill.start", {**asked, "since": "2010-01-01"}, "too-much")
    (first, *_) = wait_until("it is accepted", lambda: replies(urls["redis"], "too-much"))
    other = json.loads(first["result"])
    wait_until("it runs", lambda: ctl(marketd, "task.get", f"id={other['id']}")["state"] != "queued")
    ctl(marketd, "task.cancel", f"id={other['id']}")
    asked_at = time.monotonic()
    query = "select 1 from tasks where id = $1 and state = 'cancelled'"
    wait_until("it is cancelled", lambda: rows(urls["dsn"], query, other["id"]))
    assert time.monotonic() - asked_at < 25
    (last,) = wait_until("its end is told", lambda: ends(urls["redis"], "too-much"))
    logged = "select 1 from command_log where id = $1 and status = $2 and finished_at > ts"
    for identity, status in (("my-backfill", "done"), ("too-much", "failed")):
        wait_until("its outcome is kept", lambda i=identity, s=status: rows(urls["dsn"], logged, i, s))
    assert (last["status"], json.loads(last["error"])["code"]) == ("failed", "cancelled")
