"""The first command of the README, from outside: events, rows, readiness, a clean end, and going on afterwards."""

import json
import signal
import socket
import time

from redis import Redis

from tests.end_to_end.harness import Marketd, get, wait_until
from tests.sql import rows


def trades(dsn: str) -> int:
    return rows(dsn, "select count(*) from trades")[0][0]


def test_the_demo_starts_from_nothing_delivers_and_ends_cleanly(marketd: Marketd):
    began = time.monotonic()
    marketd.start("--demo").ready()
    tail = marketd.run("tail", "--json", "--count", "20")
    assert time.monotonic() - began < 60
    assert tail.returncode == 0, tail.stderr
    assert {"type", "exchange", "symbol", "recv"} <= json.loads(tail.stdout.splitlines()[0]).keys()

    dsn = marketd.urls_in_a_shell()["dsn"]
    first = wait_until("trades are stored", lambda: trades(dsn))
    wait_until("the table grows", lambda: trades(dsn) > first)
    status, body = get(f"{marketd.http}/ready")
    assert status == 200
    assert json.loads(body)
    metrics = get(f"{marketd.http}/metrics")[1]
    assert "marketd_events_published_total" in metrics
    assert "marketd_rows_written_total" in metrics
    assert "pong" in marketd.run("ctl", "ping").stdout

    began = time.monotonic()
    assert marketd.stop(signal.SIGINT) == 0, marketd.log.read_text()[-3000:]
    assert time.monotonic() - began < 25
    wait_until("nothing is left running", lambda: not marketd.children())

    marketd.start("--demo").ready()
    dsn = marketd.urls()["dsn"]
    kept = trades(dsn)
    assert kept >= first
    wait_until("it goes on where it ended", lambda: trades(dsn) > kept)


def test_a_second_daemon_on_the_same_data_is_refused_with_a_sentence(marketd: Marketd):
    marketd.start("--demo").ready()
    second = marketd.run("run", "--demo")
    assert second.returncode != 0
    assert len(second.stderr.strip().splitlines()) == 1
    assert str(marketd.home / "data") in second.stderr


def test_a_port_in_use_is_named_and_nothing_is_left_running(marketd: Marketd):
    with socket.create_server(("127.0.0.1", int(marketd.http.rsplit(":", 1)[1]))):
        refused = marketd.run("run", "--demo")
    assert refused.returncode == 78
    assert "http.listen" in refused.stderr.strip().splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert not marketd.children()


def test_a_subscriber_with_only_redis_and_msgpack_can_read_everything(marketd: Marketd):
    import msgpack  # noqa: PLC0415 # what the other program uses

    marketd.start("--demo").ready()
    redis = Redis.from_url(marketd.urls_in_a_shell()["redis"])
    names = wait_until("streams are listed", lambda: redis.smembers("md:streams"))
    wait_until("a trade stream", lambda: [n for n in redis.smembers("md:streams") if n.endswith(b":trade")])
    cursor = dict.fromkeys(redis.smembers("md:streams"), "0")
    expected: dict[bytes, int] = {}
    seen = 0
    while seen < 500:
        for stream, entries in redis.xread(cursor, count=100, block=5000):
            for entry, fields in entries:
                cursor[stream] = entry
                assert fields[b"v"] == b"1"
                assert expected.get(stream, int(fields[b"seq"])) == int(fields[b"seq"])
                expected[stream] = int(fields[b"seq"]) + 1
                events = msgpack.unpackb(fields[b"events"])
                assert len(events) == int(fields[b"n"])
                assert all(f"md:{event['exchange']}:{event['type']}".encode() == stream for event in events)
                seen += len(events)
    assert names
    redis.close()
