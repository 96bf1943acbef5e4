"""What `data stats` and `data gaps` say is what is in the tables."""

from decimal import Decimal

import asyncpg

from daemon.storage.feeds import Selection
from daemon.storage.gaps import gaps
from daemon.storage.stats import stats
from migrations.runner import capabilities
from tests.daemon.storage.rows import MINUTE, START, everything, ns


async def test_feeds_have_their_rows_spans_and_rates(database: str, sql: asyncpg.Connection):
    await everything(sql)
    found = await stats(database, Selection(), lambda done, total: None)
    assert sum(feed.rows for feed in found.feeds) == 400 + 50 + 300 + 30 + 300 + 20 + 40 + 5 + 20 + 20 + 3
    trades = next(feed for feed in found.feeds if feed.table == "trades" and feed.symbol == "BTC/USDT")
    assert (trades.first, trades.last, trades.rows) == (START, START + 199.5 * MINUTE, 400)
    assert trades.per_second == (Decimal(400) / Decimal(11970)).quantize(Decimal("0.001"))
    assert trades.last_hour == 120


async def test_tables_have_their_size_and_what_compression_made_of_it(database: str, sql: asyncpg.Connection):
    await everything(sql)
    before = await stats(database, Selection(channel="trade"), lambda done, total: None)
    sizes = {table.table: table for table in before.tables}
    assert len(sizes) == 9
    assert all(table.bytes > 0 for table in sizes.values())
    if "timescaledb-community" not in await capabilities(sql):
        assert sizes["trades"].ratio is None
        return
    assert (sizes["trades"].chunks, sizes["trades"].compressed_chunks) == (2, 0)
    await sql.execute("select compress_chunk(c) from show_chunks('md.trades') c")
    after = await stats(database, Selection(channel="trade"), lambda done, total: None)
    table = next(table for table in after.tables if table.table == "trades")
    assert table.compressed_chunks == 2
    assert table.ratio is not None
    assert after.feeds == before.feeds


async def test_gaps_are_chosen_by_feed_state_and_time(database: str, sql: asyncpg.Connection):
    await everything(sql)
    await sql.execute(
        "insert into feed_gaps select 'g2', exchange, '*', 'candle', to_ts, null, null, null, 'open', '1m: 3 missing', "
        "ts, ts from feed_gaps"
    )
    states = ("open", "unfillable")

    async def ids(*chosen: str, **selection: object) -> list[str]:
        return [gap.id for gap in await gaps(database, Selection(**selection), chosen or states)]

    assert await ids() == ["g1", "g2"]
    assert await ids("filled") == []
    assert await ids("open") == ["g2"]
    assert await ids(symbol="BTC/USDT") == ["g1", "g2"]
    assert await ids(symbol="ETH/USDT") == ["g2"]
    assert await ids(channel="trade") == ["g1"]
    assert await ids(timeframe="1m") == ["g2"]
    assert await ids(timeframe="5m") == []
    assert await ids(until=ns(START + MINUTE)) == ["g1"]
    assert await ids(since=ns(START + 21 * MINUTE)) == ["g2"]
