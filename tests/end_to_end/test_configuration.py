"""The configuration changed while the daemon runs, seen from outside."""

import json
import signal
import uuid
from collections.abc import Callable
from typing import Any

from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.end_to_end.test_control import ctl, feeds, refused, told


def symbols(marketd: Marketd) -> set[str]:
    return {symbol for symbol, _, _ in feeds(marketd)}


def send(redis: "Redis[bytes]", command: str, **fields: Any) -> str:
    """Send a command as any Redis client would; return its id."""
    identity = uuid.uuid4().hex
    args = json.dumps(fields.pop("args", {}))
    redis.xadd("md:commands", {"command": command, "args": args, "id": identity, **fields})
    return identity


def reply(redis: "Redis[bytes]", identity: str) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        found = [f for _, f in redis.xrange("md:replies") if f[b"id"].decode() == identity]
        return {key.decode(): value.decode() for key, value in found[-1].items()} if found else None

    return wait_until("the reply", find)


def downs(redis: "Redis[bytes]", exchange: str) -> list[str]:
    """The feeds of an exchange that were said to be down, and why; a book that starts anew does that on its own."""
    return [
        f"{e['symbol']} {e['channel']}: {e['reason']}"
        for e in told(redis)
        if e["type"] == "feed" and e["exchange"] == exchange and e["state"] == "down" and e["channel"] != "book"
    ]


def test_of_two_writers_who_have_seen_the_same_version_one_wins(marketd: Marketd):
    marketd.start("--demo").ready()
    redis = Redis.from_url(marketd.urls()["redis"])
    both = [
        send(redis, "config.set", args={"path": "log.level", "value": level}, expect_version="0", client=level)
        for level in ("debug", "error")
    ]
    won, lost = (reply(redis, identity) for identity in both)
    assert won["status"] == "done"
    version = json.loads(won["result"])["version"]
    assert lost["status"] == "rejected"
    error = json.loads(lost["error"])
    assert error["code"] == "version_conflict"
    assert f"version {version}, not 0" in error["message"]
    assert ctl(marketd, "config.get", "path=log.level") == {"version": version, "path": "log.level", "value": "debug"}
    assert ctl(marketd, "log.level") == {"level": "debug"}, "it applies at once"
    redis.close()


def test_changes_survive_a_restart_and_are_rolled_back(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    first = ctl(marketd, "symbols.add", "exchange=binance", 'symbols=["ETH/USDT"]')["version"]
    assert ctl(marketd, "config.get", "path=exchanges.binance.symbols")["value"] == ["BTC/USDT", "ETH/USDT"]
    second = ctl(marketd, "config.set", 'patch={"exchanges":{"binance":{"channels":["trade"]}}}')["version"]
    assert (
        ctl(marketd, "symbols.add", "exchange=binance", 'symbols=["SOL/USDT"]', 'channels=["book"]')["version"] > second
    )
    marketd.stop()

    marketd.start().ready()
    assert set(feeds(marketd)) == {
        ("BTC/USDT", "trade", ""), ("ETH/USDT", "trade", ""), ("SOL/USDT", "book", ""),
    }  # fmt: skip
    history = ctl(marketd, "config.history")
    assert [one["comment"] for one in history] == ["symbols.add binance", "config.set exchanges", "symbols.add binance"]
    assert history[-1]["changed"] == [
        {"path": "exchanges.binance.symbols", "before": ["BTC/USDT"], "after": ["BTC/USDT", "ETH/USDT"]}
    ]
    (difference,) = ctl(marketd, "config.diff", f"version={first}", f"to={second}")
    assert difference["path"] == "exchanges.binance.channels"

    back = ctl(marketd, "config.rollback", f"version={first}")
    assert back["version"] > second
    wait_until("the old feeds are back", lambda: len(feeds(marketd)) == 8 and set(feeds(marketd).values()) == {"live"})
    assert symbols(marketd) == {"BTC/USDT", "ETH/USDT"}
    assert "the newest is" in refused(marketd, "config.rollback", "version=999")


def test_a_file_is_read_again_and_a_wrong_one_changes_nothing(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    assert marketd.process is not None
    redis = Redis.from_url(marketd.urls()["redis"])
    wait_until("all is live", lambda: set(feeds(marketd).values()) == {"live"})

    marketd.configure(exchange.exchange('["BTCUSDT"]'))
    marketd.process.send_signal(signal.SIGHUP)
    wait_until("it says why", lambda: "configuration not reloaded" in marketd.log.read_text())
    assert "write BTC/USDT" in marketd.log.read_text()
    answer = reply(redis, send(redis, "config.reload"))  # not by `marketd ctl`, which reads the same wrong file
    assert answer["status"] == "rejected"
    assert "write BTC/USDT" in json.loads(answer["error"])["message"]
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    assert symbols(marketd) == {"BTC/USDT"}

    marketd.configure(exchange.exchange('["BTC/USDT"]').replace("[[", "[store]\nport = 5999\n[[", 1))
    assert "store.port cannot change while marketd runs" in refused(marketd, "config.reload")
    marketd.configure(exchange.exchange('["BTC/USDT"]').replace('name = "binance"', 'name = "binanse"'))
    assert "did you mean binance" in refused(marketd, "config.reload")

    marketd.configure(exchange.exchange('["BTC/USDT", "SOL/USDT"]'))
    marketd.process.send_signal(signal.SIGHUP)
    wait_until("the new symbol is live", lambda: feeds(marketd).get(("SOL/USDT", "trade", "")) == "live")
    assert not downs(redis, "binance"), "nothing was interrupted"
    assert get(f"{marketd.http}/ready")[0] == 200
    redis.close()


def test_what_the_file_changes_holds_over_a_change_by_command(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    marketd.start().ready()
    ctl(marketd, "symbols.add", "exchange=binance", 'symbols=["ETH/USDT"]')
    changed = ctl(marketd, "config.set", "path=log.level", "value=warning")["version"]
    marketd.stop()

    marketd.configure(exchange.exchange('["SOL/USDT"]'))
    marketd.start().ready()
    assert symbols(marketd) == {"SOL/USDT"}, "the file has changed the symbols"
    assert ctl(marketd, "config.get", "path=log.level")["value"] == "warning", "and nothing else"
    assert ctl(marketd, "config.history")[0]["version"] > changed


def test_only_the_exchange_that_changes_is_touched(marketd: Marketd, simulate: Callable[..., Simulated]):
    one, other = simulate(rate=150), simulate(rate=300)
    both = one.exchange('["BTC/USDT"]') + other.exchange('["BTC/USDT"]').replace('"binance"', '"simulated"')
    marketd.configure(both)
    marketd.start().ready()
    redis = Redis.from_url(marketd.urls()["redis"])
    metric = 'marketd_connects_total{exchange="simulated"} 1.0'
    wait_until("both deliver", lambda: one.control("state")["clients"] == other.control("state")["clients"] == 1)

    ctl(marketd, "config.set", "path=exchanges.binance.symbols", 'value=["BTC/USDT", "ETH/USDT"]')
    wait_until(
        "more feeds", lambda: sum(e["symbol"] == "ETH/USDT" and e["state"] == "live" for e in feed_events(redis))
    )
    assert not downs(redis, "binance"), "the new symbol came over the connection that was there"

    ctl(marketd, "config.set", "path=exchanges.binance.endpoints.websocket", f"value=ws://127.0.0.1:{other.port}")
    wait_until("it is connected elsewhere", lambda: other.control("state")["clients"] == 2)
    assert one.control("state")["clients"] == 0

    before = ctl(marketd, "config.get")["version"]
    ctl(marketd, "config.set", "path=exchanges.binance", "value=null")
    wait_until("it is gone", lambda: other.control("state")["clients"] == 1)
    assert [collector["exchange"] for collector in ctl(marketd, "collectors.list")] == ["simulated"]
    assert get(f"{marketd.http}/ready")[0] == 200
    assert "binance" in refused(marketd, "collector.start", "exchange=binance")
    ctl(marketd, "config.rollback", f"version={before}")
    wait_until("it is back", lambda: other.control("state")["clients"] == 2)

    assert not downs(redis, "simulated")
    assert metric in get(f"{marketd.http}/metrics")[1]
    redis.close()


def feed_events(redis: "Redis[bytes]") -> list[dict[str, Any]]:
    return [e for e in told(redis) if e["type"] == "feed"]


def test_wrong_values_are_named_and_secrets_are_not(marketd: Marketd):
    marketd.start("--demo").ready()
    everything = ctl(marketd, "config.get")
    assert everything["version"] == 0
    assert everything["config"]["bus"]["url"] == "embedded"
    assert "did you mean log.level" in refused(marketd, "config.get", "path=log.levle")
    assert "did you mean debug" in refused(marketd, "config.set", "path=log.level", "value=debgu")
    assert "restart" in refused(marketd, "config.set", "path=http.listen", "value=127.0.0.1:1")
    assert "path and value, or patch" in refused(marketd, "config.set")
    wait_until("the symbols are known", lambda: set(feeds(marketd).values()) == {"live"})
    wrong = refused(marketd, "config.set", "path=exchanges.simulated.symbols", 'value=["BTC/USDT","BTC/USDD"]')
    assert "simulated has no symbol BTC/USDD; nearest: BTC/USDT" in wrong
    wrong = refused(marketd, "config.set", "path=exchanges.simulated.channels", 'value=["trade","funding"]')
    assert "no channel funding" in wrong
    assert "did you mean" in refused(marketd, "config.set", "path=exchanges.simulatd.symbols", 'value=["BTC/USDT"]')
    assert "not 5" in refused(marketd, "config.set", "path=log.level", "value=debug", "--expect-version", "5")
    assert ctl(marketd, "config.get")["version"] == 0
