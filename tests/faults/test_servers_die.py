"""Redis or the database is killed and started again, and Redis loses all its data while the daemon is down.

Rows against streams and the exchange's own log. A Redis that comes back empty under a running daemon is in
test_redis_away.py.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.end_to_end.test_exactly_once import stream_trades, table_trades
from tests.sql import rows


def server_pid(marketd: Marketd, program: str) -> int:
    """The pid of one of this daemon's servers, found by its data directory."""
    assert marketd.process is not None
    for pid in marketd.children():
        if Path(f"/proc/{pid}/exe").readlink().name == program:
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == marketd.process.pid:
                return pid
    pytest.fail(f"{program} does not run")


def redis_of(marketd: Marketd) -> "Redis[bytes]":
    return Redis.from_url(marketd.urls()["redis"])


@pytest.mark.parametrize("program", ["valkey-server", "postgres"])
def test_a_killed_server_comes_back_and_everything_published_is_stored_once(
    marketd: Marketd, simulate: Callable[..., Simulated], program: str
):
    exchange = simulate(rate=300)
    marketd.configure(exchange.exchange())
    marketd.start().ready()
    urls = marketd.urls()
    redis = redis_of(marketd)
    wait_until("trades are published", lambda: sum(stream_trades(redis).values()) > 100)
    for _ in range(2):
        pid = server_pid(marketd, program)
        os.kill(pid, signal.SIGKILL)
        wait_until("another server runs", lambda gone=pid: server_or_none(marketd, program) not in (None, gone))
        wait_until("the daemon is ready again", lambda: get(f"{marketd.http}/ready")[0] == 200)
        before = sum(stream_trades(redis).values())
        wait_until("it publishes again", lambda count=before: sum(stream_trades(redis).values()) > count + 50)
    exchange.control("pause", "POST")
    wait_until("the table has what the stream has", lambda: stream_trades(redis) == table_trades(urls["dsn"])[0])
    assert max(stream_trades(redis).values()) == 1
    redis.close()


def server_or_none(marketd: Marketd, program: str) -> int | None:
    try:
        return server_pid(marketd, program)
    except (OSError, pytest.fail.Exception):
        return None


def test_an_exchange_that_drops_everybody_costs_no_silent_hole(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=300)
    marketd.configure(exchange.exchange())
    marketd.start().ready()
    urls = marketd.urls()
    redis = redis_of(marketd)
    wait_until("trades are published", lambda: sum(stream_trades(redis).values()) > 100)
    for _ in range(2):
        before = sum(stream_trades(redis).values())
        assert exchange.control("disconnect", "POST") >= 1
        wait_until("trades come again", lambda count=before: sum(stream_trades(redis).values()) > count + 100)
    exchange.control("pause", "POST")

    def every_print_is_stored_once() -> bool:
        stored, _ = table_trades(urls["dsn"])
        for symbol in ("BTC/USDT", "ETH/USDT"):
            ids = {int(number) for name, number in stored if name == symbol}
            printed = exchange.control(f"log?symbol={symbol.replace('/', '')}&from_id={min(ids)}")
            if {row[0] for row in printed} != ids:
                return False
        return max(stored.values()) == 1 and stream_trades(redis).keys() <= stored.keys()

    wait_until("every trade that the exchange printed is stored, by healing if missed", every_print_is_stored_once)
    redis.close()


def test_a_bus_that_has_lost_its_data_costs_no_trade(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=1_000)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    urls = marketd.urls()
    wait_until("some trades are stored", lambda: sum(table_trades(urls["dsn"])[0].values()) > 200)
    assert marketd.stop() == 0
    printed = exchange.control("state")["symbols"]["BTCUSDT"]["next_trade_id"]
    (valkey,) = (marketd.home / "data").glob("valkey*")
    shutil.rmtree(valkey)
    wait_until(
        "the exchange goes on", lambda: exchange.control("state")["symbols"]["BTCUSDT"]["next_trade_id"] > printed + 200
    )
    marketd.start().ready()
    dsn = marketd.urls()["dsn"]

    def complete() -> bool:
        stored, gaps = table_trades(dsn)
        ids = {int(number) for _, number in stored}
        return max(ids) > printed + 200 and len(ids) == max(ids) - min(ids) + 1 and set(gaps) == {"filled"}

    wait_until("what was printed meanwhile is found missing, and healed", complete)
    assert max(table_trades(dsn)[0].values()) == 1


def test_rows_equal_the_exchanges_own_log_value_for_value(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=500)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    dsn = marketd.urls()["dsn"]

    def stored() -> list[tuple[int, str, str, int, bool]]:
        found = rows(
            dsn,
            "select id::int8 as id, price::text, amount::text, (extract(epoch from ts) * 1000)::int8 as ms, side "
            "from trades where symbol = 'BTC/USDT' order by 1",
        )
        return [(r["id"], r["price"], r["amount"], r["ms"], r["side"] == "sell") for r in found]

    wait_until("some hundred rows", lambda: len(stored()) > 200)
    exchange.control("pause", "POST")
    stated = "native, tick_size::text, lot_size::text, min_notional::text, active"
    (limits,) = rows(dsn, f"select {stated} from instruments where symbol = 'BTC/USDT'")
    assert tuple(limits) == ("BTCUSDT", "0.01000000", "0.00001000", "5.00000000", True)
    ours = wait_until("nothing more comes", lambda: _settled(stored))
    printed = exchange.control(f"log?symbol=BTCUSDT&from_id={ours[0][0]}")
    assert ours == [tuple(row) for row in printed[: len(ours)]]


def _settled(read: Callable[[], list]) -> list | None:
    """Return what is read once two readings in a row agree."""
    first = read()
    return first if first == read() else None
