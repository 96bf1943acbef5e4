"""Two daemons with one configuration: one publishes, the other takes over within seconds, and the seam is clean."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis

from tests.end_to_end.harness import Marketd, Simulated, wait_until
from tests.end_to_end.test_control import ctl, feeds
from tests.end_to_end.test_exactly_once import SYMBOLS, stream_trades, table_trades
from tests.faults.database import WRITER
from tests.faults.test_kill_moments import uncommitted
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


class Two(NamedTuple):
    """Two daemons, and the servers and the exchange that they share."""

    first: Marketd
    second: Marketd
    exchange: Simulated
    redis: "Redis[bytes]"
    dsn: str

    def streamed(self) -> int:
        return sum(stream_trades(self.redis).values())

    def stored(self) -> int:
        return sum(table_trades(self.dsn)[0].values())

    def let_the_second_stand_by(self) -> None:
        self.second.start().ready()
        wait_until("the second stands by", lambda: "standing by" in self.second.log.read_text())

    def whole(self) -> bool:
        """Whether the table has each trade of the stream once, and no number is missing."""
        streamed, (stored, _) = stream_trades(self.redis), table_trades(self.dsn)
        numbers = {symbol: sorted(int(i) for of, i in stored if of == symbol) for symbol, _ in stored}
        contiguous = all(ids == list(range(ids[0], ids[-1] + 1)) for ids in numbers.values())
        return bool(stored) and contiguous and not streamed - stored and max(stored.values()) == 1


@pytest.fixture
def two(marketd: Marketd, pair: list[Marketd], simulate: Callable[..., Simulated]) -> Iterator[Two]:
    """Two daemons of which the first publishes and the second has not been started."""
    exchange = simulate(rate=600)
    host = marketd.start("--role", "handle:metrics").ready()  # brings the servers and outlives the others
    urls = host.urls()
    for daemon in pair:
        daemon.configure(servers(urls) + exchange.exchange())
    with Redis.from_url(urls["redis"]) as redis:
        made = Two(*pair, exchange, redis, urls["dsn"])
        made.first.start().ready()
        wait_until("the first publishes", lambda: made.streamed() > 100)
        yield made


def follows(log: Path, version: int) -> bool:
    """Whether a daemon has said that it follows this version; who is slow may go there in one step."""
    said = (line for line in log.read_text().splitlines() if "following a changed configuration" in line)
    return any(f'"version": {version}' in line for line in said)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_the_other_one_takes_over_with_no_loss_and_no_doubles(two: Two, sig: signal.Signals):
    first = two.first
    two.let_the_second_stand_by()
    before = two.streamed()
    wait_until("both collect for a while", lambda: two.streamed() > before + 500)
    frozen = first.process if sig is signal.SIGSTOP else None
    if frozen is None:
        first.stop(sig)
    else:
        frozen.send_signal(sig)
    at_death = two.streamed()
    wait_until("the second publishes", lambda: two.streamed() > at_death + 200)
    if frozen is not None:  # it still takes itself for the writer, and has all that came meanwhile before it
        said = first.log.read_text().count("standing by")
        frozen.send_signal(signal.SIGCONT)
        wait_until("the first stands by", lambda: first.log.read_text().count("standing by") > said)
    two.exchange.control("pause", "POST")
    wait_until("the table has what the stream has", lambda: stream_trades(two.redis) == table_trades(two.dsn)[0])
    assert two.whole()
    assert {symbol for symbol, _ in stream_trades(two.redis)} == set(SYMBOLS)
    assert max(stream_trades(two.redis).values()) == 1
    assert not rows(two.dsn, "select * from feed_gaps where channel = 'trade'"), "no gap was written"


def test_nobody_waits_for_one_that_is_frozen_in_the_midst_of_a_transaction(two: Two):
    assert two.first.process is not None
    two.let_the_second_stand_by()
    with uncommitted(two.dsn):
        two.first.process.send_signal(signal.SIGSTOP)
    standing = (
        f"select pid from pg_stat_activity where wait_event = 'ClientRead' and xact_start is not null and {WRITER}"
    )
    ((frozen,),) = wait_until("its transaction stands", lambda: rows(two.dsn, standing))
    before = two.stored()
    wait_until("the second stores", lambda: two.stored() > before + 500)
    assert not rows(two.dsn, "select from pg_stat_activity where pid = $1", frozen)
    two.first.process.send_signal(signal.SIGCONT)
    two.exchange.control("pause", "POST")
    wait_until("all is stored", two.whole)


def test_who_takes_over_after_redis_was_emptied_finds_the_streams(two: Two):
    two.redis.flushall()
    wait_until("the first publishes again", lambda: two.streamed() > 100)
    tail = two.first.run("tail", "--channel", "trade", "--count", "3", "--json")
    assert (tail.returncode, len(tail.stdout.splitlines())) == (0, 3)
    two.let_the_second_stand_by()
    two.first.stop(signal.SIGKILL)
    before = two.stored()
    wait_until("the second stores", lambda: two.stored() > before + 500)
    two.exchange.control("pause", "POST")
    wait_until("all is stored", two.whole)


def test_who_takes_over_goes_on_with_what_was_changed(marketd: Marketd, two: Two):
    first, second, exchange = two.first, two.second, two.exchange
    two.let_the_second_stand_by()
    version = ctl(first, "symbols.add", "exchange=binance", 'symbols=["SOL/USDT"]')["version"]
    ctl(first, "symbols.remove", "exchange=binance", 'symbols=["BTC/USDT"]')
    for daemon in (marketd, second):
        wait_until("all follow", lambda log=daemon.log: follows(log, version + 1))
    wait_until("the second collects it too", lambda: exchange.control("state")["clients"] == 2)
    first.stop(signal.SIGKILL)
    at_death = of_sol(two)
    wait_until("the second publishes it", lambda: of_sol(two) > at_death)
    assert {symbol for symbol, _, _ in feeds(second)} == {"ETH/USDT", "SOL/USDT"}
    assert ctl(second, "config.get")["version"] == version + 1


def of_sol(two: Two) -> int:
    return sum(symbol == "SOL/USDT" for symbol, _ in stream_trades(two.redis))
