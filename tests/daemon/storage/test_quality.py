"""The quality report counts exactly the faults that were put in, and nothing else."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import timeframes
from daemon.storage.checks import off_grid
from daemon.storage.feeds import Selection
from daemon.storage.quality import Counts, FeedQuality, Gaps, score, validate
from tests.daemon.storage.rows import MINUTE, START, candles, everything, instruments, ns, trades

SHARES = st.decimals(0, 1, places=6)
FAULTS = st.builds(Counts, *[st.integers(0, 10**6)] * 5)


async def report(dsn: str, channel: str, timeframe: str | None = None) -> FeedQuality:
    selection = Selection(symbol="BTC/USDT", channel=channel, timeframe=timeframe)
    (found,) = await validate(dsn, selection, lambda done, total: None)
    return found


@given(SHARES, FAULTS)
def test_a_score_lies_between_0_and_1_and_only_a_faultless_feed_has_1(completeness: Decimal, counts: Counts):
    value = score(completeness, counts)
    assert 0 <= value <= completeness
    faults = counts.duplicates + counts.logic + counts.misaligned + counts.outliers
    assert (value == 1) == (completeness == 1 and counts.rows > 0 and faults == 0)


def test_the_score_is_the_documented_formula():
    counts = Counts(rows=100, duplicates=2, logic=3, misaligned=4, outliers=1)
    assert score(Decimal("0.5"), counts) == Decimal("0.5") * (1 - Decimal("8.5") / 100)


async def test_rows_without_a_fault_have_score_1_in_every_channel(database: str, sql: asyncpg.Connection):
    await everything(sql)
    await sql.execute("delete from feed_gaps")
    steps: list[tuple[int, int | None]] = []
    found = await validate(database, Selection(), lambda done, total: steps.append((done, total)))
    assert {(q.symbol, q.channel, q.timeframe): q.score for q in found} == {
        ("BTC/USDT", "trade", None): 1, ("BTC/USDT", "ticker", None): 1, ("BTC/USDT", "book", None): 1,
        ("BTC/USDT", "candle", "1m"): 1, ("BTC/USDT", "candle", "1h"): 1, ("ETH/USDT:USDT-240927", "trade", None): 1,
        ("ETH/USDT:USDT-240927", "funding", None): 1, ("ETH/USDT:USDT-240927", "open_interest", None): 1,
        ("ETH/USDT:USDT-240927", "mark_price", None): 1, ("ETH/USDT:USDT-240927", "liquidation", None): 1,
    }  # fmt: skip
    assert found[0].flags == {"late_arrival": 1}
    assert next(q for q in found if q.channel == "book").counts.rows == 60
    total = steps[0][1]
    assert [done for done, _ in steps] == list(range((total or 0) + 1))


async def test_faults_of_trades_are_counted_one_by_one(database: str, sql: asyncpg.Connection):
    await instruments(sql)
    await trades(sql)
    before_midnight, midnight = START + 239 * MINUTE / 2, START + 120 * MINUTE
    assert midnight == datetime(2024, 8, 9, tzinfo=UTC)
    await sql.execute("update md.trades set price = 1010 where id in ('100', '240')")  # the latter at midnight
    await sql.execute("update md.trades set price = -1 where id = '50'")
    await sql.execute("insert into md.trades values (1, $1, '239', 1000, 1, 'buy', $2, 'ws')",
                      before_midnight + timedelta(milliseconds=1), ns(before_midnight) + 10**6)  # fmt: skip
    await sql.execute(
        "update md.trades set recv_ns = recv_ns - 6 * 1000000000::int8 where id = '300'"
    )  # from the future
    found = await report(database, "trade")
    assert found.counts == Counts(rows=401, duplicates=1, logic=1, misaligned=1, outliers=2)
    assert found.completeness == 1
    assert found.score == (1 - Decimal("3.5") / 401).quantize(Decimal("0.000001"), "ROUND_DOWN")


async def test_a_feed_is_incomplete_by_the_time_in_gaps_that_are_not_filled(database: str, sql: asyncpg.Connection):
    await instruments(sql)
    await trades(sql, 201)  # 100 minutes
    for number, (start, end, state, symbol) in enumerate(
        [(10, 30, "open", "BTC/USDT"), (20, 40, "unfillable", "*"), (50, 60, "filled", "BTC/USDT"),
         (95, None, "filling", "BTC/USDT"), (0, 90, "open", "ETH/USDT"), (90, 80, "open", "BTC/USDT")]
    ):  # fmt: skip
        await sql.execute(
            "insert into feed_gaps values ($1, 'x', $2, 'trade', $3, $4, null, null, $5, '', now(), now())",
            str(number), symbol, START + start * MINUTE, end and START + end * MINUTE, state,
        )  # fmt: skip
    found = await report(database, "trade")
    assert found.gaps == Gaps(filled=1, missing=3, missing_seconds=Decimal(35 * 60))
    assert found.completeness == found.score == Decimal("0.65")


async def test_faults_of_candles_are_counted_one_by_one(database: str, sql: asyncpg.Connection):
    await instruments(sql)
    await candles(sql, 201)  # 200 closed ones
    await sql.execute("delete from md.candles where open_ts in ($1, $2)", START + 10 * MINUTE, START + 11 * MINUTE)
    await sql.execute("update md.candles set high = 99 where open_ts = $1", START + 20 * MINUTE)  # below open and close
    await sql.execute("update md.candles set low = 10 where open_ts = $1", START + 30 * MINUTE)
    await sql.execute("update md.candles set high = 250 where open_ts = $1", START + 120 * MINUTE)  # at midnight
    await sql.execute(
        "insert into md.candles select instrument_id, timeframe, open_ts + interval '1 second', ts, open, high, low, "
        "close, volume, trades, closed, recv_ns, source from md.candles where open_ts = $1",
        START + 40 * MINUTE,
    )
    found = await report(database, "candle", "1m")
    assert found.counts == Counts(rows=200, duplicates=0, logic=1, misaligned=1, outliers=2)
    assert found.completeness == Decimal(198) / 200
    assert found.score == Decimal("0.99") * (1 - Decimal(3) / 200)


async def test_a_feed_whose_first_candle_is_still_open_lacks_nothing(database: str, sql: asyncpg.Connection):
    await instruments(sql)
    await candles(sql, 1)
    found = await report(database, "candle", "1m")
    assert (found.counts.rows, found.completeness, found.score) == (1, 1, 1)
    await sql.execute("update md.candles set closed = true, open_ts = open_ts + interval '1 second'")
    assert (await report(database, "candle", "1m")).completeness == 0


async def test_a_crossed_quote_or_book_and_a_repeated_quote_are_found(database: str, sql: asyncpg.Connection):
    await everything(sql)
    await sql.execute("update md.tickers set ask = bid where ts = $1", START + 10 * MINUTE)
    await sql.execute("insert into md.tickers select instrument_id, ts, recv_ns + 1, bid, bid_size, ask, ask_size, "
                      "last, open, high, low, volume, quote_volume, source from md.tickers where ts = $1",
                      START + 20 * MINUTE)  # fmt: skip
    await sql.execute("update md.book_snapshots set bids = '{{100,1}}' where last_id = 3")
    await sql.execute("update md.book_snapshots set asks = '{}' where last_id = 4")
    assert (await report(database, "ticker")).counts == Counts(rows=301, duplicates=1, logic=1)
    assert (await report(database, "book")).counts == Counts(rows=60, logic=2)


async def test_a_selection_in_time_is_reported_alone(database: str, sql: asyncpg.Connection):
    await everything(sql)
    start = START + 30 * MINUTE
    (found,) = await validate(
        database,
        Selection("x", "BTC/USDT", "candle", "1m", ns(start), ns(start + 10 * MINUTE)),
        lambda done, total: None,
    )
    assert (found.first, found.last, found.counts.rows) == (start, start + 9 * MINUTE, 10)


@pytest.mark.parametrize("timeframe", ["1s", "1m", "5m", "4h", "1d", "3d", "1w", "1M"])
async def test_the_grid_is_the_calendar_that_the_rest_of_the_daemon_uses(sql: asyncpg.Connection, timeframe: str):
    day = datetime(2024, 1, 1, tzinfo=UTC)
    moments = [day + timedelta(hours=h) for h in range(0, 24 * 70, 4)] + [day + n * MINUTE for n in range(60)]
    moments += [when + timedelta(seconds=1) for when in moments]
    off = await sql.fetch(
        f"select {off_grid(timeframe)} as off from unnest($1::timestamptz[]) with ordinality e (open_ts, n) order by n",
        moments,
    )
    assert [row["off"] for row in off] == [not timeframes.opens_at(timeframe, ns(when)) for when in moments]
