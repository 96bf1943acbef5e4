"""Symbols chosen by a rule, and candles asked for at their closes, seen from outside."""

from collections.abc import Callable
from typing import Any

import msgpack
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.end_to_end.test_configuration import downs
from tests.end_to_end.test_control import ctl, feeds, refused


def symbols(marketd: Marketd) -> set[str]:
    return {symbol for symbol, _, _ in feeds(marketd)}


def candles(redis: "Redis[bytes]") -> list[dict[str, Any]]:
    entries = redis.xrange("md:binance:candle")
    return [e for _, fields in entries for e in msgpack.unpackb(fields[b"events"]) if e["closed"]]


def test_a_rule_chooses_symbols_and_is_changed_while_it_runs(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    block = exchange.exchange().replace('symbols = ["BTC/USDT", "ETH/USDT"]', 'select = { quotes = ["USDT"], top = 2 }')
    marketd.configure(block)
    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])
    wait_until("two symbols are chosen", lambda: len(symbols(marketd)) == 2)
    wait_until("they are live", lambda: set(feeds(marketd).values()) == {"live"})
    chosen = symbols(marketd)

    ctl(marketd, "config.set", "path=exchanges.binance.select.top", "value=3")
    wait_until("one more is chosen", lambda: len(symbols(marketd)) == 3)
    assert chosen < symbols(marketd)
    assert not downs(redis, "binance"), "the others were not touched"
    (first, *_) = chosen
    assert "select" in refused(marketd, "symbols.remove", "exchange=binance", f'symbols=["{first}"]')
    assert "regular expression" in refused(marketd, "config.set", "path=exchanges.binance.select.pattern", "value=(")
    marketd.stop()

    marketd.start().ready()
    wait_until("it goes on with the same", lambda: len(symbols(marketd)) == 3)
    ctl(marketd, "config.set", "path=exchanges.binance.select", 'value={"top":null,"quotes":[],"pattern":"BTC/.*"}')
    wait_until("another rule chooses others", lambda: symbols(marketd) == {"BTC/USDT"})
    redis.close()


def test_candles_are_asked_for_at_their_closes(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange('["BTC/USDT"]') + 'polling.timeframes = ["1s"]\ntimeframes = ["1s", "1m"]\n')
    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])

    def asked() -> list[int]:
        return [c["open_ts"] for c in candles(redis) if c["timeframe"] == "1s" and c["source"] == "rest"]

    wait_until("some have closed", lambda: len(asked()) >= 8)
    times = asked()
    assert times == list(range(times[0], times[-1] + 1, 1_000_000_000)), "each once, none left out"
    assert not [c for c in candles(redis) if c["timeframe"] == "1s" and c["source"] == "ws"]
    assert feeds(marketd)["BTC/USDT", "candle", "1s"] == "live"

    marketd.stop()
    marketd.start().ready()
    before = len(times)
    wait_until("it has caught up", lambda: len(asked()) > before + 8)
    times = asked()
    assert times == list(range(times[0], times[-1] + 1, 1_000_000_000)), "and what the downtime missed"

    ctl(marketd, "config.set", "path=exchanges.binance.polling.timeframes", "value=[]")
    wait_until("it is streamed", lambda: any(c["timeframe"] == "1s" and c["source"] == "ws" for c in candles(redis)))
    redis.close()
