"""Instruments keep their ids, and say what the exchange last stated of them."""

from decimal import Decimal

import asyncpg
import msgspec

from bus.events import Trade
from bus.handler import Batch
from daemon.exchanges.base import Instrument
from handlers.persistence import PersistenceHandler, store_instruments
from tests.handlers.persistence.samples import HEAD, T0, trade

BTC = Instrument("binance", "BTC/USDT", "BTCUSDT", "BTC", "USDT", "spot", True, "0.01000000", "0.00001", None, "5")
ETH = msgspec.structs.replace(BTC, symbol="ETH/USDT", native="ETHUSDT", base="ETH")


async def test_limits_join_the_instrument_that_events_made(handler: PersistenceHandler, sql: asyncpg.Connection):
    await handler.handle(Batch([trade(1)]))
    assert await store_instruments(sql, [BTC, ETH]) == 2
    row = await sql.fetchrow("select * from instruments where symbol = 'BTC/USDT'")
    assert (row["native"], row["active"], row["min_amount"]) == ("BTCUSDT", True, None)
    assert (str(row["tick_size"]), row["min_notional"]) == ("0.01000000", Decimal(5))
    assert await sql.fetchval("select count(*) from trades join instruments using (exchange, symbol)") == 1


async def test_only_what_changed_is_written(handler: PersistenceHandler, sql: asyncpg.Connection):
    await store_instruments(sql, [BTC, ETH])
    first = await sql.fetch("select * from instruments order by symbol")
    assert await store_instruments(sql, [BTC, BTC, ETH]) == 0
    assert await sql.fetch("select * from instruments order by symbol") == first
    delisted = msgspec.structs.replace(BTC, active=False, tick_size=None)
    assert await store_instruments(sql, [BTC, delisted, ETH]) == 1
    row = await sql.fetchrow("select * from instruments where symbol = 'BTC/USDT'")
    assert (row["active"], row["tick_size"]) == (False, None)
    assert row["ts"] > first[0]["ts"]


async def test_meeting_instruments_again_uses_no_ids_up(
    handler: PersistenceHandler, sql: asyncpg.Connection, database: str
):
    for _ in range(3):
        other = PersistenceHandler(database)
        await other.handle(Batch([trade(1)]))
        await other.close()
    await handler.handle(Batch([trade(1), Trade(HEAD[0], "ETH/USDT", T0, T0, "ws", "1", "1", "1", "sell")]))
    assert await sql.fetch("select instrument_id from md.instruments order by 1") == [(1,), (2,)]
