"""What the database does to a batch: trouble that is waited for, data that is refused, and nobody kept waiting."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bus.clock import SystemClock
from bus.errors import Poison, StoreUnavailable
from bus.events import Book, Feed, Trade
from bus.handler import Batch, Position
from bus.local import LocalBus
from bus.subscription import Subscription
from handlers import sessions
from handlers.persistence import PersistenceHandler, writer
from tests.handlers.persistence.samples import HEAD, T0, trade

PROMPTLY = 20.0
"""Seconds, far below the deadline of a batch, and enough for a busy machine."""
OURS = "application_name = 'marketd persistence' and datname = current_database()"


async def until_held_up(sql: asyncpg.Connection) -> None:
    """Wait until the handler waits for a lock."""
    waiting = "select exists (select from pg_locks where not granted and relation = 'md.trades'::regclass)"
    async with asyncio.timeout(PROMPTLY):
        while not await sql.fetchval(waiting):
            await asyncio.sleep(0.005)


async def stored(sql: asyncpg.Connection) -> int:
    return await sql.fetchval("select count(*) from trades")


async def test_the_server_is_waited_for_and_the_data_is_not(handler: PersistenceHandler, sql: asyncpg.Connection):
    waited_for = ("40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P01", "25006")
    refused = ("22003", "22P02", "23514", "54000")
    for number, state in enumerate((*waited_for, *refused)):
        await sql.execute(
            f"create function refuse() returns trigger language plpgsql as $$ begin raise 'refused' "
            f"using errcode = '{state}'; end $$;"
            "create trigger refuse before insert on md.trades for each row execute function refuse()"
        )
        batch = Batch([trade(number)], {"s": Position(f"{number}-1", number)})
        with pytest.raises(StoreUnavailable if state in waited_for else asyncpg.PostgresError, match="refused"):
            await handler.handle(batch)
        await sql.execute("drop trigger refuse on md.trades; drop function refuse()")
        assert await stored(sql) == number
        await handler.handle(batch)
        assert await sql.fetchval("select seq from stream_offsets") == number


async def test_a_deadlock_is_tried_again(handler: PersistenceHandler, sql: asyncpg.Connection):
    name = await sql.fetchval("select current_database()")
    await sql.execute(f"alter database {name} set deadlock_timeout = '100ms'")
    feed = Feed(T0, "binance", "BTC/USDT", "trade", "live")
    async with sql.transaction():
        await sql.execute("set local deadlock_timeout = '1min'; lock table md.trades in exclusive mode")
        writing = asyncio.create_task(handler.handle(Batch([feed, trade(1)])))
        await until_held_up(sql)
        await sql.execute("lock table feed_events in exclusive mode")  # which the handler holds a lock on
    with pytest.raises(StoreUnavailable, match="40P01"):
        await writing
    await handler.handle(Batch([feed, trade(1)]))
    assert await stored(sql) == 1


async def test_a_batch_that_is_held_up_ends_at_its_deadline(
    handler: PersistenceHandler, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "DEADLINE", 0.3)
    async with sql.transaction():
        await sql.execute("lock table md.trades in exclusive mode")
        with pytest.raises(StoreUnavailable):
            await handler.handle(Batch([trade(1)]))
    monkeypatch.undo()
    await handler.handle(Batch([trade(1)]))
    assert await stored(sql) == 1


async def idle(connection: asyncpg.Connection) -> None:
    await connection.execute("begin; lock table md.trades in exclusive mode")


async def copying(connection: asyncpg.Connection) -> None:
    begun = asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        yield b""
        begun.set()
        await asyncio.Event().wait()

    await connection.execute("begin; lock table md.trades in exclusive mode")
    task = asyncio.create_task(connection.copy_to_table("trades", schema_name="md", source=rows()))
    connection.add_termination_listener(lambda _: task.cancel())
    await begun.wait()


@pytest.mark.parametrize("stand", [idle, copying])
@pytest.mark.parametrize("name", ["marketd persistence", "psql"])
async def test_only_a_handler_that_stands_still_in_a_transaction_is_ended(
    handler: PersistenceHandler, database: str, monkeypatch: pytest.MonkeyPatch, name: str, stand
):
    monkeypatch.setattr(sessions, "LOCK_TIMEOUT", 0.3)
    standing = await asyncpg.connect(database, server_settings={"application_name": name})
    await stand(standing)
    with pytest.raises(StoreUnavailable, match="55P03"):
        await handler.handle(Batch([trade(1)]))
    monkeypatch.setattr(sessions, "STANDING", 0.0)  # by now it has stood for long enough
    if name == "psql":
        with pytest.raises(StoreUnavailable, match="55P03"):
            await handler.handle(Batch([trade(1)]))
    else:
        await handler.handle(Batch([trade(1)]))
    standing.terminate()


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "CONNECT_TIMEOUT", 0.2)
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, peer: connected.append(peer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    handler = PersistenceHandler(f"postgresql://nobody:hunter2@127.0.0.1:{port}/none?sslmode=disable")
    with pytest.raises(StoreUnavailable) as caught:
        await handler.handle(Batch([trade(1)]))
    assert connected
    assert "hunter2" not in str(caught.value)
    for peer in connected:
        peer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("count", [1, 40_000])
async def test_a_cancelled_batch_ends_at_once_and_leaves_nothing(
    handler: PersistenceHandler, sql: asyncpg.Connection, count: int
):
    batch = Batch([trade(number) for number in range(count)])
    async with sql.transaction():
        await sql.execute("lock table md.trades in exclusive mode")
        writing = asyncio.create_task(handler.handle(batch))
        await until_held_up(sql)
        writing.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert time.monotonic() - started < PROMPTLY
    assert await stored(sql) == 0
    await handler.handle(batch)
    assert await stored(sql) == count


async def test_a_connection_that_dies_while_there_is_no_room_to_write_is_noticed(
    handler: PersistenceHandler, sql: asyncpg.Connection
):
    batch = Batch([trade(number) for number in range(40_000)])  # more than sockets and buffers hold
    async with sql.transaction():
        await sql.execute("lock table md.trades in exclusive mode")
        writing = asyncio.create_task(handler.handle(batch))
        await until_held_up(sql)
        await sql.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {OURS}")
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await writing
        assert time.monotonic() - started < PROMPTLY
    await handler.handle(batch)
    assert await stored(sql) == 40_000


async def test_a_connection_that_died_between_batches_is_opened_again(
    handler: PersistenceHandler, sql: asyncpg.Connection
):
    await handler.handle(Batch([trade(1)]))
    await sql.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {OURS}")
    try:
        await handler.handle(Batch([trade(2)]))
    except StoreUnavailable:  # the death had not been heard of yet
        await handler.handle(Batch([trade(2)]))
    assert await stored(sql) == 2


async def test_an_id_too_long_for_an_index_is_the_datas_fault(handler: PersistenceHandler, sql: asyncpg.Connection):
    long = "".join(random.Random(1).choices("0123456789abcdef", k=20_000))
    with pytest.raises(asyncpg.PostgresError):
        await handler.handle(Batch([Trade(*HEAD, long, "1", "1", "buy")]))
    with pytest.raises(asyncpg.PostgresError):
        await handler.handle(Batch([Trade("x", long, T0, T0, "ws", "1", "1", "1", "buy")]))


async def test_a_level_that_is_no_pair_of_numbers_is_poison(handler: PersistenceHandler, sql: asyncpg.Connection):
    for level in (("1,2", "3"), ("NULL", "1"), ("1},{2", "3"), ("", ""), ("1", "2\t3"), ("NaN", "1")):
        with pytest.raises((Poison, asyncpg.PostgresError)):
            await handler.handle(Batch([trade(1), Book(*HEAD, "delta", [level], [])]))
    assert await stored(sql) == 0


async def test_a_poisonous_event_is_found_quickly_and_the_others_are_stored_once(
    handler: PersistenceHandler, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
):
    bus = LocalBus()
    bad = 777
    await bus.publish([trade(number, "abc" if number == bad else "1.50") for number in range(2_000)])
    calls = 0
    handle = handler.handle

    async def counted(batch: Batch):
        nonlocal calls
        calls += 1
        return await handle(batch)

    monkeypatch.setattr(handler, "handle", counted)
    running = asyncio.create_task(Subscription(bus, handler, SystemClock(), random.Random(1)).run())
    async with asyncio.timeout(60):
        while not await sql.fetchval("select count(*) from dead_letters"):
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await sql.fetchval("select array_agg(id::int order by id::int) from trades") == [
        number for number in range(2_000) if number != bad
    ]
    assert "abc" in (await sql.fetchval("select payload from dead_letters")).decode(errors="replace")
    assert calls < 40
