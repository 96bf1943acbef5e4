"""The other commands, as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, get, wait_until
from tests.end_to_end.test_exactly_once import stream_trades, table_trades


def test_record_and_replay_give_the_same_events_again(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange('["BTC/USDT"]'))
    recorded = marketd.run("record", "binance", "BTC/USDT", "--output", "btc.jsonl.gz", "--seconds", "4")
    assert recorded.returncode == 0, recorded.stderr
    assert (marketd.home / "btc.jsonl.gz").stat().st_size > 1_000
    again = marketd.run("record", "binance", "BTC/USDT", "--output", "btc.jsonl.gz", "--seconds", "1")
    assert again.returncode == 2
    assert "exists already" in again.stderr

    played = marketd.run("replay", "btc.jsonl.gz", "--print")
    assert played.returncode == 0, played.stderr
    events = [json.loads(line) for line in played.stdout.splitlines()]
    assert {"trade", "ticker", "book"} <= {event["type"] for event in events}
    assert {event["source"] for event in events} == {"replay"}
    assert [event["f"] for event in events] == sorted(event["f"] for event in events)
    trades = [event for event in events if event["type"] == "trade"]
    printed = {row[0]: row for row in exchange.control(f"log?symbol=BTCUSDT&from_id={trades[0]['id']}&limit=100000")}
    for event in trades:
        number, price, amount, time, maker_bought = printed[int(event["id"])]
        assert (event["price"], event["amount"], event["ts"]) == (price, amount, time * 1_000_000), number
        assert event["side"] == ("sell" if maker_bought else "buy")
    books = [event for event in events if event["type"] == "book"]
    assert books[0]["kind"] == "snapshot"

    onto = marketd.run("replay", "btc.jsonl.gz", "--speed", "max")
    assert onto.returncode == 0, onto.stderr
    assert "frames published" in onto.stdout


def test_check_and_exchange_test_say_what_works_and_what_does_not(marketd: Marketd, simulate: Callable[..., Simulated]):
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange())
    checked = marketd.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert [line.split(":")[0] for line in checked.stdout.splitlines()] == [
        "configuration", "bus", "store", "exchange binance",
    ]  # fmt: skip
    tested = marketd.run("exchange", "test", "binance")
    assert tested.returncode == 0
    assert "delivers" in tested.stdout
    unknown = marketd.run("exchange", "test", "binanse")
    assert unknown.returncode == 2
    assert "binance" in unknown.stderr
    listed = marketd.run("exchange", "list")
    assert "binance" in listed.stdout
    assert "trade" in listed.stdout
    exchange.close()
    gone = marketd.run("exchange", "test", "binance")
    assert gone.returncode == 1
    assert "no data" in gone.stdout


def test_control_commands_from_the_command_line_and_from_a_plain_redis_client(marketd: Marketd):
    marketd.start("--demo").ready()
    status = marketd.run("ctl", "status", "--json")
    assert status.returncode == 0, status.stderr
    reply = json.loads(status.stdout)
    assert reply["status"] == "done"
    assert json.loads(reply["result"])["ready"] is True
    wrong = marketd.run("ctl", "statuss")
    assert wrong.returncode == 1
    assert "status" in wrong.stdout
    level = marketd.run("ctl", "log.level", "level=chatty")
    assert level.returncode == 1
    assert "level" in level.stdout
    assert marketd.run("ctl", "log.level", "level=debug").returncode == 0

    urls = marketd.urls()
    redis = Redis.from_url(urls["redis"], decode_responses=True)
    redis.xadd("md:commands", {"command": "ping", "id": "mine-1"})
    found = wait_until(
        "the reply", lambda: [fields for _, fields in redis.xrange("md:replies") if fields.get("id") == "mine-1"]
    )
    assert found[0]["status"] == "done"
    redis.xadd("md:commands", {"command": "ping", "id": "mine-1"})
    wait_until(
        "the same reply again",
        lambda: len([1 for _, fields in redis.xrange("md:replies") if fields.get("id") == "mine-1"]) == 2,
    )
    redis.close()
    migrations = marketd.run("migrate", "--status")
    assert migrations.returncode == 0
    assert "0001 core" in migrations.stdout


def test_migrate_works_without_a_running_daemon(marketd: Marketd):
    first, second = marketd.run("migrate"), marketd.run("migrate")
    assert first.returncode == 0, first.stderr
    assert "applied 0001 core" in first.stdout
    assert "up to date" in second.stdout


def test_roles_in_processes_of_their_own_share_the_servers(marketd: Marketd, simulate: Callable[..., Simulated]):
    """One process has servers and collectors, two others the handlers; these two share out what is to be stored."""
    exchange = simulate(rate=150)
    marketd.configure(exchange.exchange())
    marketd.start("--role", "collect").ready()
    urls = marketd.urls()
    servers = f'[bus]\nurl = "{urls["redis"]}"\n[store]\ndsn = "{urls["dsn"]}"\n'
    others = [Marketd(folder(marketd.home / name)) for name in ("one", "two")]
    for other, roles in zip(others, ("persistence-1of2,gaps", "persistence-2of2"), strict=True):
        other.configure(servers)
        other.start("--role", f"handle:{roles}")
    try:
        with Redis.from_url(urls["redis"]) as redis:
            wait_until("trades", lambda: sum(stream_trades(redis).values()) > 100)
            exchange.control("pause", "POST")
            wait_until("rows", lambda: stream_trades(redis) == table_trades(urls["dsn"])[0])
        stored = 'marketd_events_handled_total{handler="persistence"}'
        wait_until("both have stored", lambda: all(stored in get(f"{other.http}/metrics")[1] for other in others))
    finally:
        assert [other.stop() for other in others] == [0, 0]


def folder(path: Path) -> Path:
    path.mkdir()
    return path
