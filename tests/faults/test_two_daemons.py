"""Two daemons with one configuration: one publishes, the other takes over within seconds, and the seam is clean."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.end_to_end.test_control import ctl, feeds
from tests.end_to_end.test_exactly_once import SYMBOLS, stream_trades, table_trades
from tests.sql import rows


@pytest.fixture
def pair() -> Iterator[list[Marketd]]:
    with tempfile.TemporaryDirectory(prefix="mdt-", ignore_cleanup_errors=True) as folder:
        pair = []
        for name in ("first", "second"):
            home = Path(folder) / name
            home.mkdir()
            pair.append(Marketd(home))
        yield pair
        for daemon in pair:
            if daemon.process is not None:
                daemon.stop()


def servers(urls: dict[str, str]) -> str:
    return f'[bus]\nurl = "{urls["redis"]}"\n[store]\ndsn = "{urls["dsn"]}"\n'


def follows(log: Path, version: int) -> bool:
    """Whether a daemon has said that it follows this version; who is slow may go there in one step."""
    said = (line for line in log.read_text().splitlines() if "following a changed configuration" in line)
    return any(f'"version": {version}' in line for line in said)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_the_other_one_takes_over_with_no_loss_and_no_doubles(
    marketd: Marketd, pair: list[Marketd], simulate: Callable[..., Simulated], sig: signal.Signals
):
    exchange = simulate(rate=600)
    host = marketd.start("--role", "handle:metrics").ready()  # brings the servers and outlives the others
    urls = host.urls()
    first, second = pair
    for daemon in pair:
        daemon.configure(servers(urls) + exchange.exchange())
    redis = Redis.from_url(urls["redis"])
    first.start().ready()
    wait_until("the first publishes", lambda: sum(stream_trades(redis).values()) > 100)
    second.start().ready()
    wait_until("the second stands by", lambda: "standing by" in second.log.read_text())
    before = sum(stream_trades(redis).values())
    wait_until("both collect for a while", lambda: sum(stream_trades(redis).values()) > before + 500)
    frozen = first.process if sig is signal.SIGSTOP else None
    if frozen is None:
        first.stop(sig)
    else:
        frozen.send_signal(sig)
    at_death = sum(stream_trades(redis).values())
    wait_until("the second publishes", lambda: sum(stream_trades(redis).values()) > at_death + 200)
    if frozen is not None:  # it still takes itself for the writer, and has all that came meanwhile before it
        said = first.log.read_text().count("standing by")
        frozen.send_signal(signal.SIGCONT)
        wait_until("the first stands by", lambda: first.log.read_text().count("standing by") > said)
    exchange.control("pause", "POST")
    wait_until("the table has what the stream has", lambda: stream_trades(redis) == table_trades(urls["dsn"])[0])
    streamed = stream_trades(redis)
    assert max(streamed.values()) == 1
    for symbol in SYMBOLS:
        ids = sorted(int(i) for s, i in streamed if s == symbol)
        assert ids == list(range(ids[0], ids[-1] + 1))
    assert not rows(urls["dsn"], "select * from feed_gaps where channel = 'trade'"), "no gap was written"
    redis.close()


def test_who_takes_over_goes_on_with_what_was_changed(
    marketd: Marketd, pair: list[Marketd], simulate: Callable[..., Simulated]
):
    exchange = simulate(rate=200)
    host = marketd.start("--role", "handle:metrics").ready()
    urls = host.urls()
    first, second = pair
    for daemon in pair:
        daemon.configure(servers(urls) + exchange.exchange())
    redis = Redis.from_url(urls["redis"])
    first.start().ready()
    wait_until("the first publishes", lambda: stream_trades(redis))
    second.start().ready()
    wait_until("the second stands by", lambda: "standing by" in second.log.read_text())

    version = ctl(first, "symbols.add", "exchange=binance", 'symbols=["SOL/USDT"]')["version"]
    ctl(first, "symbols.remove", "exchange=binance", 'symbols=["BTC/USDT"]')
    for daemon in (host, second):
        wait_until("all follow", lambda log=daemon.log: follows(log, version + 1))
    wait_until("the second collects it too", lambda: exchange.control("state")["clients"] == 2)
    first.stop(signal.SIGKILL)
    at_death = sum(symbol == "SOL/USDT" for symbol, _ in stream_trades(redis))
    wait_until(
        "the second publishes it", lambda: sum(symbol == "SOL/USDT" for symbol, _ in stream_trades(redis)) > at_death
    )
    assert {symbol for symbol, _, _ in feeds(second)} == {"ETH/USDT", "SOL/USDT"}
    assert ctl(second, "config.get")["version"] == version + 1
    redis.close()
