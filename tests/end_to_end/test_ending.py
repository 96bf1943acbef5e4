"""Draining and ending the daemon by command."""

from collections.abc import Callable

from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.end_to_end.test_control import ctl
from tests.end_to_end.test_exactly_once import stream_trades
from tests.sql import rows


def test_everything_is_drained_and_then_ends_by_command(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    urls = marketd.urls()
    redis = Redis.from_url(urls["redis"])
    wait_until("trades", lambda: stream_trades(redis))

    assert ctl(marketd, "drain") == {"stopped": ["binance"], "state": "drained"}
    assert exchange.control("state")["clients"] == 0
    published = stream_trades(redis)
    stored = rows(urls["dsn"], "select symbol, id from trades where source = 'ws'")
    assert {(row["symbol"], row["id"]) for row in stored} == published.keys()
    told_by_stats = ctl(marketd, "stats")
    (stream,) = (one for one in told_by_stats["streams"] if one["stream"] == "md:binance:trade")
    assert stream["events"] == sum(published.values())
    assert {one["handler"] for one in told_by_stats["handlers"]} >= {"persistence", "validation", "gaps"}
    assert get(f"{marketd.http}/ready")[0] == 503
    assert ctl(marketd, "collector.start", "exchange=binance")["state"] == "running"
    wait_until("trades come again", lambda: sum(stream_trades(redis).values()) > sum(published.values()))
    redis.close()

    assert ctl(marketd, "shutdown") == {"state": "ending"}
    assert marketd.process is not None
    assert marketd.process.wait(15) == 0
    marketd.start().ready()
    logged = rows(marketd.urls()["dsn"], "select status from command_log where command = 'shutdown'")
    assert [row["status"] for row in logged] == ["done"]
