"""SIGTERM in every phase and a drain past its deadline, a blocked event loop, a wall clock that jumps by an hour.

Seen in exit codes, rows, metrics and, where the row of the table is about the log, in that.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.faults.running import Running, running_daemon

SHIFTED = Path(__file__).with_name("shifted")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that says by how many seconds the daemon's wall clock is off."""
    file = tmp_path_factory.mktemp("clock") / "seconds"
    file.write_text("0")
    return file


@pytest.fixture(scope="module")
def running(clock: Path) -> Iterator[Running]:
    path = f"{SHIFTED}{os.pathsep}{SHIFTED.parents[2]}"
    with running_daemon(rate=300, variables={"SHIFTED_CLOCK": str(clock), "PYTHONPATH": path}) as made:
        wait_until("trades are stored", lambda: made.rows("select from trades limit 1"))
        yield made


def newest(running: Running) -> int:
    """The newest trade of one symbol that is stored."""
    return int(running.rows("select max(id::int8) from trades where symbol = 'BTC/USDT'")[0][0])


def everything_is_stored(running: Running) -> None:
    for symbol in ("BTC/USDT", "ETH/USDT"):
        wait_until("every trade is stored", lambda symbol=symbol: running.whole(symbol))


def test_a_wall_clock_that_jumps_disturbs_nobody(running: Running, clock: Path):
    def ahead() -> float:
        return running.metric("marketd_exchange_clock_ahead_seconds", exchange="binance")

    connects, stale = running.metric("marketd_connects_total"), running.metric("marketd_stale_total")
    flags = "select from quality_flags where rule = $1 and symbol = 'BTC/USDT' limit 1"
    # receive times only rise, so that after a jump back they stand still until the clock has come that far again
    for seconds, rule in ((-3_600, "future_time"), (0, None), (3_600, "late_arrival"), (0, None)):
        clock.write_text(f"{seconds:<10}")
        before = newest(running)
        wait_until("trades are stored", lambda before=before: newest(running) > before + 50)
        if rule:
            wait_until("validation says that the clocks differ", lambda rule=rule: running.rows(flags, rule))
            assert running.metric("marketd_quality_flags_total", rule=rule) > 0
            wait_until("by how much is told", lambda seconds=seconds: ahead() > 5 if seconds < 0 else ahead() < -60)
        assert running.ready() == (200, {})
    assert running.metric("marketd_connects_total") == connects
    assert running.metric("marketd_stale_total") == stale
    assert running.metric("marketd_breaker_open") == 0
    assert not running.rows("select from feed_gaps where channel = 'trade'")
    everything_is_stored(running)


def test_a_blocked_event_loop_is_told_with_its_stack_and_costs_no_trade(running: Running):
    config = running.marketd.config
    text = config.read_text()
    config.unlink()
    os.mkfifo(config)  # whoever opens it waits for a writer
    assert running.marketd.process is not None
    running.marketd.process.send_signal(signal.SIGHUP)
    wait_until("the watchdog says so", lambda: "the event loop is blocked" in running.marketd.log.read_text())
    assert get(f"{running.marketd.http}/health") == (0, "")
    line = next(line for line in running.marketd.log.read_text().splitlines() if "the event loop is blocked" in line)
    assert "self._load()" in line
    config.write_text(text)
    config.unlink()
    config.write_text(text)
    wait_until("it runs again", lambda: "the event loop runs again" in running.marketd.log.read_text())
    wait_until("it is ready", lambda: running.ready()[0] == 200)
    before = newest(running)
    wait_until("trades are stored", lambda: newest(running) > before + 50)
    everything_is_stored(running)


@contextmanager
def held_up(dsn: str) -> Iterator[None]:
    """Let nobody write trades, until the server ends or this does; begin when somebody wants to."""
    with asyncio.Runner() as runner:
        sql = runner.run(asyncpg.connect(dsn))
        runner.run(sql.execute("begin; lock table md.trades in exclusive mode"))
        waiting = "select exists (select from pg_locks where not granted and relation = 'md.trades'::regclass)"
        wait_until("a batch is held up", lambda: runner.run(sql.fetchval(waiting)))
        yield
        sql.terminate()


class Log:
    """What a daemon writes from now on."""

    def __init__(self, marketd: Marketd) -> None:
        self._file = marketd.log
        self._begin = len(self._file.read_text()) if self._file.exists() else 0

    def until(self, text: str) -> None:
        wait_until(text, lambda: text in self._file.read_text()[self._begin :])


def test_every_phase_ends_at_a_signal_and_the_exit_code_says_how(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=300)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and never says a word
        port = mute.getsockname()[1]
        marketd.configure(f'[store]\ndsn = "postgresql://x@127.0.0.1:{port}/x?sslmode=disable"\n')
        log = Log(marketd)
        marketd.start()
        log.until("serving HTTP")
        assert marketd.stop() == 0
    marketd.configure(exchange.exchange())
    for phase in ("serving HTTP", "marketd runs", "symbols loaded"):
        log = Log(marketd)
        marketd.start()
        log.until(phase)
        assert marketd.stop() == 0, phase
        wait_until("its servers have ended", lambda: not marketd.children())

    marketd.configure("[shutdown]\ndeadline = 2\n" + exchange.exchange())
    marketd.start().ready()
    dsn = marketd.urls()["dsn"]
    with held_up(dsn):
        log, began = Log(marketd), time.monotonic()
        assert marketd.stop() == 1
        assert 2 <= time.monotonic() - began < 28
        log.until("2 s have passed")

    marketd.configure(exchange.exchange())
    marketd.start().ready()
    with held_up(dsn):
        assert marketd.process is not None
        log = Log(marketd)
        marketd.process.send_signal(signal.SIGTERM)
        log.until('"step": "handlers"')
        began = time.monotonic()
        assert marketd.stop() == 1
        assert time.monotonic() - began < 25
        log.until("second signal")

    marketd.start().ready()
    with Redis.from_url(marketd.urls()["redis"]) as redis:
        everything_is_stored(Running(marketd, exchange, redis, dsn))
    assert marketd.stop() == 0


def test_a_signal_in_the_middle_of_a_healing_costs_no_gap(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=300)
    marketd.configure(exchange.exchange())
    marketd.start().ready()
    with Redis.from_url(marketd.urls()["redis"]) as redis:
        running = Running(marketd, exchange, redis, marketd.urls()["dsn"])
        wait_until("trades are stored", lambda: running.rows("select from trades where symbol = 'BTC/USDT' limit 1"))
        slow = exchange.fault("http", path="historicalTrades", delay=60.0)
        exchange.fault("drop", symbol="BTC/USDT", channel="trade", count=5)
        wait_until("the exchange is asked", lambda: exchange.fired(slow))
        wait_until("it is being healed", lambda: running.gaps("BTC/USDT", "trade")[0]["state"] == "filling")
        assert marketd.stop() == 0
    exchange.control("faults", "DELETE")
    marketd.start().ready()
    with Redis.from_url(marketd.urls()["redis"]) as redis:
        running = Running(marketd, exchange, redis, marketd.urls()["dsn"])
        everything_is_stored(running)
        wait_until("no gap is left", lambda: {gap["state"] for gap in running.gaps("BTC/USDT", "trade")} == {"filled"})
