"""Every event lands once with its own digits, whatever is delivered again and whatever the database does."""

import asyncio
from decimal import Decimal

import asyncpg
import msgspec
import pytest

from bus.errors import StoreUnavailable
from bus.events import Candle, Feed, Gap, Trade
from bus.handler import Batch, Position
from handlers.persistence import PersistenceHandler
from tests.handlers.persistence.samples import EVENTS, T0, candle, everything, trade


async def test_every_kind_of_event_is_stored_value_for_value(handler: PersistenceHandler, sql: asyncpg.Connection):
    await handler.handle(Batch(EVENTS, {"md:binance:trade": Position("5-0", 3)}))
    row = await sql.fetchrow("select * from trades")
    assert (row["exchange"], row["symbol"], row["id"], row["side"], row["source"]) == (
        "binance", "BTC/USDT", "1", "buy", "ws",
    )  # fmt: skip
    assert (str(row["price"]), str(row["amount"])) == ("61837.63000000", "0.02")
    assert row["ts"].timestamp() * 10**6 == pytest.approx((T0 + 10**6) // 1000, abs=1)
    quote, stats = await sql.fetch("select * from tickers order by last nulls first")
    assert (quote["bid"], quote["ask_size"], quote["last"]) == (Decimal("1.10"), Decimal("0.30"), None)
    assert quote["ts"] == quote["recv"]
    assert (stats["last"], stats["quote_volume"]) == (Decimal(9), Decimal(900))
    snapshot, delta = (
        await sql.fetchrow("select * from book_snapshots"),
        await sql.fetchrow("select * from book_deltas"),
    )
    assert snapshot["bids"] == [[Decimal("100.10"), Decimal(1)], [Decimal("100.00"), Decimal(2)]]
    assert (delta["asks"], delta["first_id"], delta["last_id"], delta["prev_id"]) == ([], 8, 9, 7)
    assert (await sql.fetchrow("select * from liquidations"))["id"] is None
    assert (await sql.fetchrow("select * from funding_rates"))["rate"] == Decimal("-0.0001")
    assert (await sql.fetchrow("select * from dead_letters"))["payload"] == b"\x00\xff\\raw"
    gap = await sql.fetchrow("select * from feed_gaps")
    assert (gap["from_id"], gap["to_id"], gap["state"]) == ("5", "9", "open")
    offset = await sql.fetchrow("select * from stream_offsets")
    assert (offset["stream"], offset["entry"], offset["seq"]) == ("md:binance:trade", "5-0", 3)
    assert all((await everything(sql)).values())


async def test_delivered_again_in_any_cut_and_order_it_is_the_same(
    handler: PersistenceHandler, sql: asyncpg.Connection
):
    await handler.handle(Batch(EVENTS))
    once = await everything(sql)
    await handler.handle(Batch(EVENTS))
    await handler.handle(Batch(EVENTS[::-1]))
    await handler.handle(Batch([*EVENTS, *EVENTS]))
    for event in EVENTS:
        await handler.handle(Batch([event]))
    assert await everything(sql) == once
    await handler.handle(Batch([trade(1), trade(2), trade(2), trade(3)]))
    assert await sql.fetchval("select count(*) from trades") == 3


async def test_a_candle_grows_until_closed_and_never_back(handler: PersistenceHandler, sql: asyncpg.Connection):
    async def now() -> tuple[Decimal, bool]:
        row = await sql.fetchrow("select close, closed from candles")
        return row["close"], row["closed"]

    await handler.handle(Batch([candle("2", T0, closed=False), candle("2.5", T0 + 1, closed=False)]))
    assert await now() == (Decimal("2.5"), False)
    await handler.handle(Batch([candle("2.1", T0, closed=False)]))
    assert await now() == (Decimal("2.5"), False)
    await handler.handle(Batch([candle("3", T0 + 3, closed=True), candle("2.8", T0 + 4, closed=False)]))
    assert await now() == (Decimal(3), True)
    await handler.handle(Batch([candle("2.9", T0 + 9, closed=False)]))
    assert await now() == (Decimal(3), True)
    await handler.handle(Batch([candle("3.1", T0 + 10, closed=True)]))
    assert await now() == (Decimal("3.1"), True)


async def test_a_candle_that_we_have_built_never_takes_the_place_of_the_exchanges_own(
    handler: PersistenceHandler, sql: asyncpg.Connection
):
    def derived(close: str, recv: int, *, closed: bool = True) -> Candle:
        return msgspec.structs.replace(candle(close, recv, closed=closed), source="derived")

    async def now() -> tuple[Decimal, str]:
        row = await sql.fetchrow("select close, source from candles")
        return row["close"], row["source"]

    await handler.handle(Batch([derived("2", T0), derived("2.2", T0 + 1)]))
    assert await now() == (Decimal("2.2"), "derived")
    await handler.handle(Batch([candle("2.1", T0 + 2, closed=False)]))
    assert await now() == (Decimal("2.2"), "derived")
    await handler.handle(Batch([candle("2.5", T0, closed=True), derived("2.3", T0 + 9)]))
    assert await now() == (Decimal("2.5"), "ws")
    await handler.handle(Batch([derived("2.4", T0 + 10)]))
    assert await now() == (Decimal("2.5"), "ws")


async def test_a_gap_follows_its_newest_state(handler: PersistenceHandler, sql: asyncpg.Connection):
    def gap(ts: int, state: str) -> Gap:
        return Gap(ts, "g", "binance", "BTC/USDT", "trade", T0, T0 + 1, "1", "2", state, "")

    await handler.handle(Batch([gap(T0, "open"), gap(T0 + 2_000, "filled"), gap(T0 + 1_000, "filling")]))
    await handler.handle(Batch([gap(T0, "open")]))
    assert await sql.fetchval("select state from feed_gaps") == "filled"


HOSTILE = "tab\t new\nline \r back\\slash \\N \\. quote\" '; drop table trades; -- é 日本 \x01"


async def test_hostile_text_is_stored_as_it_is(handler: PersistenceHandler, sql: asyncpg.Connection):
    await handler.handle(Batch([Feed(T0, HOSTILE, HOSTILE, HOSTILE, "down", HOSTILE)]))
    bad_id = Trade("x" + HOSTILE, "S" + HOSTILE, T0, T0, "ws", HOSTILE, "1", "1", "buy")
    await handler.handle(Batch([bad_id]))
    assert await sql.fetchval("select reason from feed_events") == HOSTILE
    assert tuple(await sql.fetchrow("select id, symbol from trades")) == (HOSTILE, "S" + HOSTILE)


async def test_what_cannot_be_stored_says_so_and_leaves_nothing_behind(
    handler: PersistenceHandler, sql: asyncpg.Connection
):
    for price in ("abc", "1\t2", "", "1e999999", "\\N", "1\x00"):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await handler.handle(Batch([trade(1), trade(2, price), trade(3)], {"s": Position("1-1", 1)}))
        assert caught.value.sqlstate[:2] in {"22", "23"}
        assert await sql.fetchval("select count(*) from trades") == 0
        assert await sql.fetchval("select count(*) from stream_offsets") == 0
    await handler.handle(Batch([trade(1), trade(3)]))
    assert await sql.fetchval("select count(*) from trades") == 2


async def test_a_connection_killed_in_the_middle_costs_nothing(handler: PersistenceHandler, sql: asyncpg.Connection):
    await handler.handle(Batch([trade(0)]))
    killed = 0
    for start in range(1, 60_001, 5_000):
        batch = Batch([trade(number) for number in range(start, start + 5_000)])
        writing = asyncio.create_task(handler.handle(batch))
        await asyncio.sleep(0.01)  # so that the kill falls into the COPY; any other moment must hold as well
        killed += await sql.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where application_name = 'marketd persistence' and datname = current_database()"
        )
        try:
            await writing
        except StoreUnavailable:
            await handler.handle(batch)
    assert killed
    assert await sql.fetchval("select count(*) from trades") == 60_001
    assert await sql.fetchval("select count(distinct id) from trades") == 60_001


async def test_a_database_that_is_away_or_read_only_is_waited_for(handler: PersistenceHandler, sql: asyncpg.Connection):
    away = PersistenceHandler("postgresql://nobody:hunter2@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as caught:
        await away.handle(Batch([trade(1)]))
    assert "hunter2" not in str(caught.value)
    name = await sql.fetchval("select current_database()")
    await sql.execute(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        await handler.handle(Batch([trade(1)]))
    await sql.execute("set default_transaction_read_only = off")
    await sql.execute(f"alter database {name} reset default_transaction_read_only")
    await handler.handle(Batch([trade(1)]))
    assert await sql.fetchval("select count(*) from trades") == 1


async def test_two_processes_meet_a_new_instrument_at_once(
    handler: PersistenceHandler, sql: asyncpg.Connection, database: str
):
    others = [PersistenceHandler(database) for _ in range(4)]
    await asyncio.gather(*[other.handle(Batch([trade(number)])) for number, other in enumerate(others)])
    assert await sql.fetchval("select count(*) from instruments") == 1
    assert await sql.fetchval("select count(*) from trades") == 4
    await asyncio.gather(*[other.close() for other in others])
