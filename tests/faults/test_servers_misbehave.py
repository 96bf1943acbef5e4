"""Redis and the database are there and do not do their part: said clearly, nothing is lost, nobody else is held up.

One daemon serves all cases. What was trimmed away in the first is healed by the last but one: the exchange's candles,
which prove it complete, are those of whole minutes. The last leaves entries that are no frames.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from bus.redis.append import parse_id
from tests.end_to_end.harness import wait_until
from tests.end_to_end.test_control import ctl, refused
from tests.end_to_end.test_exactly_once import stream_trades, table_trades
from tests.faults import database
from tests.faults.running import Running, running_daemon
from tests.valkey import Server

TRADES = "md:binance:trade"


@pytest.fixture(scope="module")
def running(server_dir: Path) -> Iterator[Running]:
    folder = server_dir / "misbehave"
    folder.mkdir()
    server = Server(folder)
    asyncio.run(server.start())
    try:
        with running_daemon(rate=300, servers=f'[bus]\nurl = "{server.url}"\n') as made:
            wait_until("trades are stored", lambda: made.rows("select from trades limit 1"))
            yield made
    finally:
        server.kill()


def group(running: Running, name: str) -> dict[str, Any]:
    """How far a group is on the stream of trades."""
    return next(each for each in running.redis.xinfo_groups(TRADES) if each["name"] == name.encode())


def behind(running: Running, name: str) -> bool:
    """Whether there are trades that a group has not been given."""
    return parse_id(group(running, name)["last-delivered-id"]) < parse_id(running.position("trade"))


def acknowledged(running: Running) -> set[tuple[str, str]]:
    """The trades on the stream that the persistence handler has acknowledged."""
    delivered = parse_id(group(running, "persistence")["last-delivered-id"])
    entries = running.redis.xrange(TRADES)
    pending = {
        each["message_id"] for each in running.redis.xpending_range(TRADES, "persistence", "-", "+", count=100_000)
    }
    done = [fields for entry, fields in entries if parse_id(entry) <= delivered and entry not in pending]
    return {(e["symbol"], e["id"]) for fields in done for e in msgpack.unpackb(fields[b"events"])}


def everything_streamed_is_stored_once(running: Running) -> bool:
    running.exchange.control("pause", "POST")
    try:
        stored, _ = table_trades(running.dsn)
        return stream_trades(running.redis).keys() <= stored.keys() and max(stored.values()) == 1
    finally:
        running.exchange.control("resume", "POST")


def test_what_is_trimmed_before_it_was_stored_is_noticed(running: Running):
    async def hold_up_and_trim() -> None:
        async with database.database(running) as db, db.sql.transaction():
            await db.sql.execute("lock table md.trades in exclusive mode")
            began = running.redis.xlen(TRADES)
            async with asyncio.timeout(60):
                while running.redis.xlen(TRADES) < began + 100:
                    await asyncio.sleep(0.05)
            running.redis.xtrim(TRADES, maxlen=2, approximate=False)

    asyncio.run(hold_up_and_trim())
    told = "select * from feed_gaps where reason like '%trimmed away before persistence read them%'"
    wait_until("the loss is written down", lambda: running.rows(told))
    assert running.metric("marketd_lost_frames_total", handler="persistence") > 50


def test_a_server_that_begins_to_evict_makes_it_not_ready(running: Running):
    running.redis.config_set("maxmemory-policy", "allkeys-lru")
    _, reasons = wait_until("it is not ready", lambda: (said := running.ready())[0] == 503 and said)
    assert reasons.keys() == {"bus"}
    assert "maxmemory-policy allkeys-lru" in reasons["bus"]
    running.redis.config_set("maxmemory-policy", "noeviction")
    wait_until("it is ready again", lambda: running.ready()[0] == 200)


def test_a_full_server_is_waited_for_and_nothing_is_missing(running: Running):
    running.redis.config_set("maxmemory", "1kb")
    at = running.position("trade")
    newest = max(int(event["id"]) for event in running.events("trade", "BTC/USDT"))
    wait_until("it says why", lambda: "is out of memory" in running.ready()[1].get("bus", ""))
    assert running.ready()[0] == 503
    printed = running.exchange.control("state")["symbols"]["BTCUSDT"]["next_trade_id"]
    wait_until(
        "trades are printed meanwhile",
        lambda: running.exchange.control("state")["symbols"]["BTCUSDT"]["next_trade_id"] > printed + 100,
    )
    assert running.redis.xlen(TRADES) == len(running.redis.xrange(TRADES, max=at))
    running.redis.config_set("maxmemory", "0")
    wait_until("it is ready again", lambda: running.ready()[0] == 200)
    wait_until(
        "what came later is stored",
        lambda: running.rows("select max(id::int8) from trades where symbol = 'BTC/USDT'")[0][0] > printed + 500,
    )

    def once_each() -> bool:
        ids = sorted(int(event["id"]) for event in running.events("trade", "BTC/USDT", at))
        later = [number for number in ids if number > newest]  # what was trimmed before is being healed meanwhile
        return later == list(range(newest + 1, later[-1] + 1))

    wait_until("nothing is missing, and nothing doubled", once_each)


@pytest.mark.parametrize(
    "fault",
    [
        database.deadlock,
        database.serialization_failure,
        database.read_only,
        database.disk_full,
        database.dropped_connection,
        database.slow,
    ],
)
def test_while_the_database_fails_nothing_is_acknowledged_that_is_not_stored(
    running: Running, fault: Callable[[database.Database], AbstractAsyncContextManager[None]]
):
    async def look_at_it(db: database.Database) -> None:
        """While it fails: the others go on, and what counts as done is done."""
        stuck = parse_id(group(running, "persistence")["last-delivered-id"])
        async with asyncio.timeout(60):
            while parse_id(group(running, "validation")["last-delivered-id"]) <= stuck:
                await asyncio.sleep(0.05)
        done = acknowledged(running)
        rows = await db.eyes.fetch("select symbol, id from trades where exchange = 'binance'")
        assert done <= {(row["symbol"], row["id"]) for row in rows}
        # the batch that it is stuck with may be of other streams
        async with asyncio.timeout(60):
            while not (group(running, "persistence")["pending"] or behind(running, "persistence")):
                await asyncio.sleep(0.05)

    async def let_it_fail() -> None:
        async with database.database(running) as db, fault(db):
            await look_at_it(db)

    before = running.rows("select count(*) from trades")[0][0]
    asyncio.run(let_it_fail())
    wait_until("it drains", lambda: everything_streamed_is_stored_once(running))
    wait_until("it goes on", lambda: running.rows("select count(*) from trades")[0][0] > before + 50)
    wait_until("it is ready", lambda: running.ready()[0] == 200)


def test_what_could_not_be_stored_is_kept_as_dead_letters_and_stored_once_the_cause_is_mended(running: Running):
    async def refuse() -> None:
        async with database.database(running) as db:
            await db.sql.execute("alter table md.trades add constraint odd check (right(id, 2) <> '77') not valid")
            await db.until("select count(*) >= 5 from dead_letters")
            await db.sql.execute("alter table md.trades drop constraint odd")

    asyncio.run(refuse())
    letters = ctl(running.marketd, "dead.list", "handler=persistence")
    for letter in letters:
        assert "odd" in letter["reason"]
        stream, _, place = letter["origin"].partition("/")
        entry, _, index = place.partition("#")
        ((_, fields),) = running.redis.xrange(stream, entry, entry)
        event = msgpack.unpackb(fields[b"events"])[int(index)]
        assert event["id"].endswith("77")
        assert not running.rows("select from trades where symbol = $1 and id = $2", event["symbol"], event["id"])
    answer = ctl(running.marketd, "dead.replay", "handler=persistence")
    assert answer["replayed"] >= len(letters)
    assert not answer["refused"]
    wait_until("everything is stored", lambda: everything_streamed_is_stored_once(running))
    assert not ctl(running.marketd, "dead.list")
    assert "no letter" in refused(running.marketd, "dead.replay", "id=nothing")
    assert "either" in refused(running.marketd, "dead.replay")


def test_what_was_trimmed_away_is_healed_in_the_end(running: Running):
    for symbol in ("BTC/USDT", "ETH/USDT"):
        wait_until("every trade is stored", lambda symbol=symbol: running.whole(symbol))
    states = "select distinct state from feed_gaps where channel = 'trade'"
    wait_until("no gap is left", lambda: [row["state"] for row in running.rows(states)] == ["filled"])
    assert not running.rows("select from dead_letters")


def test_a_poison_entry_on_a_stream_is_kept_with_its_origin_and_the_rest_of_it_goes_on(running: Running):
    good = {"type": "trade", "exchange": "binance", "symbol": "ADA/USDT", "ts": 1, "recv": 2, "source": "ws", "id": "1"}
    good |= {"price": "1.5", "amount": "2", "side": "buy"}
    events = [good, {"type": "nonsense"}, good | {"id": "2", "price": "much"}, good | {"id": "3"}]
    seq = int(running.redis.xrevrange(TRADES, count=1)[0][1][b"seq"]) + 1
    frame = {"v": "1", "seq": seq, "n": len(events), "events": msgpack.packb(events)}
    entry = running.redis.xadd(TRADES, frame).decode()
    garbage = running.redis.xadd(TRADES, {"foreign": "1"}).decode()
    kept = "select origin, reason from dead_letters where handler = 'persistence'"
    reasons = {
        f"{TRADES}/{entry}#1": "Invalid value 'nonsense'",
        f"{TRADES}/{entry}#2": "much",
        f"{TRADES}/{garbage}": "is no frame",
    }

    def letters() -> dict[str, str]:
        return {row["origin"]: row["reason"] for row in running.rows(kept)}

    wait_until("they are kept", lambda: letters().keys() == reasons.keys())
    assert all(reason in letters()[origin] for origin, reason in reasons.items())
    stored = running.rows("select id from trades where symbol = 'ADA/USDT' order by id")
    assert [row["id"] for row in stored] == ["1", "3"]
    newest = "select max(id::int8) from trades where symbol = 'BTC/USDT'"
    before = running.rows(newest)[0][0]
    wait_until("it goes on", lambda: running.rows(newest)[0][0] > before + 50)
