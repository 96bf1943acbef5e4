"""Rows for tests: days of trades, candles and all other kinds, without a fault unless one is put in."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

START = datetime(2024, 8, 8, 22, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def ns(when: datetime) -> int:
    return int(when.timestamp()) * 10**9 + when.microsecond * 1_000


async def instruments(sql: asyncpg.Connection) -> None:
    await sql.execute(
        "insert into md.instruments (exchange, symbol) values ('x', 'BTC/USDT'), ('x', 'ETH/USDT:USDT-240927')"
    )


async def trades(sql: asyncpg.Connection, count: int = 400, instrument: int = 1, start: datetime = START) -> None:
    """A trade each 30 s, its price going up and down by a hundredth of a percent."""
    rows = [
        (instrument, start + n * MINUTE / 2, str(n), Decimal(1000) + Decimal(n % 2) / 10, Decimal("0.50"), "buy",
         ns(start + n * MINUTE / 2) + 7, "ws")
        for n in range(count)
    ]  # fmt: skip
    await sql.executemany("insert into md.trades values ($1, $2, $3, $4, $5, $6, $7, $8)", rows)


async def candles(
    sql: asyncpg.Connection, count: int = 300, instrument: int = 1, timeframe: str = "1m", start: datetime = START
) -> None:
    """Closed candles without a hole; the last one is open."""
    step = MINUTE if timeframe == "1m" else 60 * MINUTE
    rows = [
        (instrument, timeframe, start + n * step, start + (n + 1) * step, Decimal(100), Decimal(101) + n % 3,
         Decimal("99.50"), Decimal(100), Decimal("1.20"), n, n < count - 1, ns(start + (n + 1) * step), "ws")
        for n in range(count)
    ]  # fmt: skip
    await sql.executemany(
        "insert into md.candles values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)", rows
    )


async def everything(sql: asyncpg.Connection) -> None:
    """Some rows in every table of events, over two days."""
    await instruments(sql)
    await trades(sql)
    await trades(sql, 50, instrument=2)
    await candles(sql)
    await candles(sql, 30, timeframe="1h")
    await sql.execute(
        """
        insert into md.tickers (instrument_id, ts, recv_ns, bid, bid_size, ask, ask_size, last, source)
            select 1, t, extract(epoch from t)::int8 * 1000000000 + 5, 99.9, 1, 100.10, 2,
                case when n % 10 = 0 then 100 end, 'ws'
            from generate_series(1, 300) n, lateral (select $1::timestamptz + n * interval '1 minute' as t) x;
        """.replace("$1", f"'{START.isoformat()}'")
    )
    at = f"timestamptz '{START.isoformat()}'"
    when = f"{at} + n * interval '7 minutes', (extract(epoch from {at} + n * interval '7 minutes') * 1e9)::int8"
    await sql.execute(f"""
        insert into md.book_snapshots (instrument_id, ts, recv_ns, last_id, bids, asks, source)
            select 1, {when}, n, '{{{{99.5,1}},{{99,2.50}}}}', '{{{{100,1}},{{100.5,0.0001}}}}', 'ws'
            from generate_series(1, 20) n;
        insert into md.book_deltas (instrument_id, ts, recv_ns, first_id, last_id, bids, asks, source)
            select 1, {when}, n, n, '{{{{99.5,0}}}}', '{{}}', 'ws' from generate_series(1, 40) n;
        insert into md.funding_rates (instrument_id, ts, recv_ns, rate, next_ts, source)
            select 2, {when}, 0.0001, {at} + interval '8 hours', 'ws' from generate_series(1, 5) n;
        insert into md.open_interest (instrument_id, ts, recv_ns, amount, source)
            select 2, {when}, 1000 + n % 2, 'ws' from generate_series(1, 20) n;
        insert into md.mark_prices (instrument_id, ts, recv_ns, mark, index, source)
            select 2, {when}, 1000 + n % 2, 1000.25, 'ws' from generate_series(1, 20) n;
        insert into md.liquidations (instrument_id, ts, recv_ns, id, side, price, amount, source)
            select 2, {when}, null, 'sell', 1000, 0.1, 'ws' from generate_series(1, 3) n;
        insert into feed_gaps values ('g1', 'x', 'BTC/USDT', 'trade', {at}, {at} + interval '20 minutes', '1', '2',
            'unfillable', E'tab\\there, newline\\nand \\\\ backslash', {at}, {at});
        insert into quality_flags values ('x', 'BTC/USDT', 'trade', {at}, 'late_arrival', 'warning', 'r', 'd'),
            ('x', 'BTC/USDT', 'trade', {at}, 'score', 'info', 'r', 'd');
        insert into dead_letters values ('d1', {at}, 'o', 'h', 'r', '\\x00ff0a5c');
        insert into command_log (id, ts, client, command, args, status) values ('c', {at}, 'me', 'ping', '{{"a":[1]}}', 'done');
        insert into stream_offsets values ('md:x:trade', '1-0', 5, {at});
    """)  # noqa: E501
