"""The derived views give what a plain computation over the same rows gives, and find it without reading everything."""

import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from migrations.runner import migrate

START = datetime(2024, 8, 8, 23, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SIZES = {"5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(database)
    connection = await asyncpg.connect(database)
    await connection.execute("set timezone = 'America/New_York'")  # days are UTC days wherever the reader sits
    await connection.execute("insert into md.instruments (exchange, symbol) values ('x', 'A/B'), ('x', 'C/D')")
    yield connection
    await connection.close()


async def insert_candles(sql: asyncpg.Connection, rows: list[tuple]) -> None:
    await sql.executemany("insert into md.candles values ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, 0, 'ws')", rows)


def random_candles(rng: random.Random) -> list[tuple]:
    rows = []
    for instrument in (1, 2):
        for minute in range(1_700):
            if rng.random() < 0.05:
                continue  # a minute without trades
            prices = [Decimal(rng.randint(90, 110)) / 10 for _ in range(4)]
            volume = Decimal(rng.randint(0, 500)) / 100
            rows.append(
                (instrument, "1m", START + minute * MINUTE, prices[0], max(prices), min(prices), prices[-1], volume,
                 rng.randint(0, 9), minute < 1_699),
            )  # fmt: skip
    rng.shuffle(rows)
    return rows


def rolled_up(rows: list[tuple], minutes: int) -> list[tuple]:
    buckets = defaultdict(list)
    for row in sorted(rows, key=lambda row: row[2]):
        since = int((row[2] - datetime(2000, 1, 1, tzinfo=UTC)) / MINUTE)
        buckets[row[0], row[2] - since % minutes * MINUTE].append(row)
    return sorted(
        ("A/B" if instrument == 1 else "C/D", opened, some[0][3], max(r[4] for r in some), min(r[5] for r in some),
         some[-1][6], sum(r[7] for r in some), sum(r[8] for r in some),
         some[-1][9] and some[-1][2] + MINUTE == opened + minutes * MINUTE)
        for (instrument, opened), some in buckets.items()
    )  # fmt: skip


async def test_larger_candles_are_the_minutes_put_together(sql: asyncpg.Connection):
    rows = random_candles(random.Random(7))
    other = (1, "1h", START, *[Decimal(1)] * 4, Decimal(999), 1, True)  # of another size, fed directly
    await insert_candles(sql, [*rows, other])
    for size, minutes in SIZES.items():
        got = await sql.fetch(
            "select symbol, open_ts, open, high, low, close, volume, trades, closed "
            f"from candles_{size} where exchange = 'x' and timeframe = '{size}' order by symbol, open_ts"
        )
        assert [tuple(row) for row in got] == rolled_up(rows, minutes), size


async def test_refreshed_aggregates_are_the_minutes_put_together_and_late_minutes_join_them(sql: asyncpg.Connection):
    if not await sql.fetchval("select to_regclass('timescaledb_information.continuous_aggregates') is not null"):
        pytest.skip("plain PostgreSQL has no continuous aggregates")
    rows = random_candles(random.Random(8))
    late = rows[:40]
    await insert_candles(sql, rows[40:])
    for end in (START + timedelta(hours=9), None):
        for size in SIZES:
            await sql.execute(f"call refresh_continuous_aggregate('md.candles_{size}', null, $1::timestamptz)", end)
        for size, minutes in SIZES.items():
            got = await sql.fetch(
                "select symbol, open_ts, open, high, low, close, volume, trades, closed "
                f"from candles_{size} order by symbol, open_ts"
            )
            expected = rolled_up(rows[40:] if end else rows, minutes)
            assert [tuple(row) for row in got] == expected, size  # materialised up to `end`, computed behind it
        if end:
            await insert_candles(sql, late)


async def tickers(sql: asyncpg.Connection, *rows: tuple) -> None:
    await sql.executemany(
        "insert into md.tickers (instrument_id, ts, recv_ns, bid, last, open, high, low, volume, source) "
        "values ($1, $2, $3, 1, $4, $5, 120, 80, 1000, 'ws')",
        rows,
    )


async def test_the_latest_price_is_the_newest_ticker_that_has_one(sql: asyncpg.Connection):
    await tickers(
        sql,
        (1, START, 1, Decimal(90), Decimal(80)),
        (1, START + MINUTE, 2, Decimal(110), Decimal(100)),
        (1, START + 2 * MINUTE, 3, None, None),  # best bid and ask alone
    )
    row = await sql.fetchrow("select * from latest_prices")
    assert dict(row) == {
        "exchange": "x", "symbol": "A/B", "ts": START + MINUTE, "price": Decimal(110), "change_24h": Decimal(10),
        "change_24h_percent": Decimal(10), "volume": Decimal(1000), "high_24h": Decimal(120), "low_24h": Decimal(80),
    }  # fmt: skip


async def test_without_tickers_the_latest_price_comes_from_trades_and_candles(sql: asyncpg.Connection):
    at = START + timedelta(hours=30)
    for number, price in ((999, 7), (1_000, 8), (10, 6)):  # at one moment the highest id is the newest
        await sql.execute(
            "insert into md.trades values (2, $1, $2, $3, 1, 'buy', 0, 'ws')", at, str(number), Decimal(price)
        )
    assert [(r["symbol"], r["price"], r["volume"]) for r in await sql.fetch("select * from latest_prices")] == [
        ("C/D", Decimal(8), None)
    ]
    rows = [(2, "1m", START + n * MINUTE, *[Decimal(n)] * 4, Decimal(1), 1, True) for n in range(1, 1_800)]
    await insert_candles(sql, rows)
    inside = [row for row in rows if row[2] > at - timedelta(hours=24)]
    row = await sql.fetchrow("select * from latest_prices")
    opened = inside[0][3]
    assert (row["ts"], row["price"], row["volume"]) == (at, Decimal(8), Decimal(len(inside)))
    assert (row["high_24h"], row["low_24h"]) == (inside[-1][3], opened)
    assert row["change_24h"] == 8 - opened
    assert row["change_24h_percent"] == round((8 - opened) * 100 / opened, 4)


async def gap(
    sql: asyncpg.Connection, number: int, start: int | None, end: int | None, state: str, **other: str
) -> None:
    await sql.execute(
        "insert into feed_gaps values ($1, 'x', $2, $3, $4, $5, null, null, $6, '', now(), now())",
        str(number), other.get("symbol", "A/B"), other.get("channel", "trade"),
        None if start is None else START + start * MINUTE, None if end is None else START + end * MINUTE, state,
    )  # fmt: skip


async def completeness(sql: asyncpg.Connection) -> list[tuple[datetime, float]]:
    rows = await sql.fetch("select * from feed_completeness where channel = 'trade' and symbol = 'A/B' order by ts")
    return [(row["ts"], float(row["completeness"])) for row in rows]


async def test_completeness_is_the_share_of_the_day_in_no_gap(sql: asyncpg.Connection):
    for minute in (0, 60 + 600):  # one hour of the first day, ten of the second
        await sql.execute(
            "insert into md.trades values (1, $1, $2, 1, 1, 'buy', 0, 'ws')", START + minute * MINUTE, str(minute)
        )
    first, second = datetime(2024, 8, 8, tzinfo=UTC), datetime(2024, 8, 9, tzinfo=UTC)
    assert await completeness(sql) == [(first, 1.0), (second, 1.0)]
    await gap(sql, 1, 30, 90, "open")  # half of the first day's hour, 30 minutes of the second day
    await gap(sql, 2, 80, 120, "unfillable", symbol="*")  # overlaps it: 30 minutes more
    await gap(sql, 3, 200, 500, "filled")
    await gap(sql, 4, 200, 500, "open", channel="book")
    await gap(sql, 5, 200, 500, "open", symbol="C/D")
    await gap(sql, 6, -500, 0, "open")
    await gap(sql, 7, None, 300, "open")
    await gap(sql, 8, 300, 200, "open")
    assert await completeness(sql) == [(first, 0.5), (second, 0.9)]
    await gap(sql, 9, 630, None, "filling")  # 30 minutes up to the last event
    assert await completeness(sql) == [(first, 0.5), (second, 0.85)]


def nodes(plan: dict) -> list[tuple[str, str]]:
    found = [(plan["Node Type"], plan.get("Relation Name", ""))]
    return found + [node for child in plan.get("Plans", []) for node in nodes(child)]


@pytest.mark.parametrize("view", ["latest_prices", "feed_completeness"])
async def test_no_view_reads_the_big_tables_through(sql: asyncpg.Connection, view: str):
    await sql.execute(  # of today: TimescaleDB compresses old chunks at once, and finds their rows in another way
        "insert into md.trades select n % 2 + 1, now() - n * interval '1 second', n::text, n, 1, "
        "'buy', n, 'ws' from generate_series(1, 40000) n;"
        "insert into md.tickers (instrument_id, ts, recv_ns, bid, last, source) select 1, "
        "now() - n * interval '1 second', n, 1, case n when 5 then 1 end, 'ws' "
        "from generate_series(1, 40000) n;"
    )
    await sql.execute("analyze")
    text = await sql.fetchval(f"explain (format json) select * from {view}")
    plan = json.loads(text)[0]["Plan"]
    big = [relation for kind, relation in nodes(plan) if kind == "Seq Scan"]
    assert not [name for name in big if name in {"trades", "tickers"} or name.startswith("_hyper")], big
    assert view != "latest_prices" or "tickers_last" in text
