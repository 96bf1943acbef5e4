"""An exchange without a translator, from its sockets to the rows: ccxt's Binance.US class on the simulated exchange."""

import json
from collections.abc import Callable

import msgpack
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until


def test_an_exchange_through_ccxt_is_tested_collected_changed_and_stopped_like_any_other(
    marketd: Marketd, simulate: Callable[..., Simulated]
):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange('["BTC/USDT"]').replace('"binance"', '"binanceus"'))
    tested = marketd.run("exchange", "test", "binanceus")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "delivers, 6 symbols" in tested.stdout

    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])
    for channel in ("trade", "ticker", "book", "candle"):
        wait_until(f"{channel} is published", lambda name=f"md:binanceus:{channel}": redis.exists(name))

    near = marketd.run("ctl", "symbols.add", "exchange=binanceus", 'symbols=["ETH/USTD"]')
    assert near.returncode == 1
    assert "ETH/USDT" in near.stdout + near.stderr
    added = marketd.run("ctl", "symbols.add", "exchange=binanceus", 'symbols=["ETH/USDT"]', "--json")
    assert json.loads(added.stdout)["status"] == "done", added.stdout

    def symbols() -> set[str]:
        frames = [msgpack.unpackb(fields[b"events"]) for _, fields in redis.xrevrange("md:binanceus:trade", count=20)]
        return {event["symbol"] for frame in frames for event in frame}

    wait_until("both symbols are delivered", lambda: symbols() == {"BTC/USDT", "ETH/USDT"})
    assert marketd.stop() == 0
    log = marketd.log.read_text()
    assert not [word for word in ("Unclosed", "never retrieved", "was destroyed") if word in log], log
