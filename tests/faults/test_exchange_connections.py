"""An exchange ends, drops or refuses connections, or bans us: no trade is missing, and nobody is hammered.

Seen in rows, in streams, and in how often the exchange was asked.
"""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.faults.running import Running


@pytest.mark.parametrize("arguments", [{}, {"clean": False}, {"notice": 2.0}])
def test_connections_that_end_cost_no_trade(running: Running, arguments: dict[str, Any]):
    connects = running.metric("marketd_connects_total")
    running.exchange.fault("cut", **arguments)
    wait_until("it connects again", lambda: running.metric("marketd_connects_total") > connects)
    since = running.position("trade")
    wait_until("trades come again", lambda: len(running.events("trade", "ETH/USDT", since)) > 20)
    wait_until("every trade is stored", lambda: running.whole("ETH/USDT"))


def test_a_connection_that_is_dead_without_a_word_is_given_up(running: Running):
    connects = running.metric("marketd_connects_total")
    running.exchange.fault("half_open")
    wait_until("another one takes its place", lambda: running.metric("marketd_connects_total") > connects)
    since = running.position("trade")
    wait_until("trades come again", lambda: len(running.events("trade", "ETH/USDT", since)) > 20)
    wait_until("every trade is stored", lambda: running.whole("ETH/USDT"))


def test_connections_dropped_before_any_data_are_tried_ever_more_rarely(running: Running):
    number = running.exchange.fault("accept_then_drop", hold=0.1)
    running.exchange.fault("cut")
    wait_until("it tries", lambda: running.exchange.fired(number) >= 2)
    began = running.exchange.fired(number)
    time.sleep(15)  # how often it tries in this time is what is looked at
    tries = running.exchange.fired(number) - began
    assert tries <= 8
    running.exchange.control("faults", "DELETE")
    since = running.position("trade")
    wait_until("trades come again", lambda: len(running.events("trade", "ETH/USDT", since)) > 20)
    wait_until("every trade is stored", lambda: running.whole("ETH/USDT"))


def test_a_ban_stops_every_request_until_its_end_also_over_a_kill(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=200)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    with Redis.from_url(marketd.urls()["redis"]) as redis:
        running = Running(marketd, exchange, redis, "")
        wait_until(
            "the book is followed",
            lambda: any(each["kind"] == "delta" for each in running.events("book", "BTC/USDT")),
        )
    number = exchange.fault("http", path="/api", status=418, seconds=20)
    began = time.monotonic()
    exchange.fault("broken_chain", symbol="BTC/USDT", count=1)  # the book needs a snapshot
    shut = 'marketd_breaker_open{exchange="binance",kind="rest"} 1.0'
    wait_until("the breaker is open", lambda: shut in get(f"{marketd.http}/metrics")[1])
    marketd.stop(signal.SIGKILL)
    met = exchange.fired(number)
    assert 1 <= met <= 2  # another call may have been under way
    marketd.start()
    wait_until("its bus runs", lambda: marketd.run("env").returncode == 0)
    record = ("record", "binance", "BTC/USDT", "--output", str(marketd.home / "r.jsonl.gz"), "--seconds", "1")
    for command in (("exchange", "test", "binance"), ("check",), record):
        answer = marketd.run(*command)
        assert answer.returncode != 0
        assert "binance has banned this address until" in answer.stdout + answer.stderr
    while time.monotonic() - began < 18:  # the ban's time is the input
        time.sleep(0.5)
        assert exchange.fired(number) == met
    marketd.ready(60)
