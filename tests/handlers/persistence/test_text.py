"""COPY text is exactly what PostgreSQL reads back."""

from datetime import UTC, datetime, timedelta

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.events import Book, Feed, Trade
from bus.handler import Batch
from handlers.persistence import PersistenceHandler
from handlers.persistence.tables import TABLES
from handlers.persistence.text import timestamp
from tests.handlers.persistence.samples import HEAD, T0

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
quick = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
storable = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
digits = st.decimals(0, 10**12, allow_nan=False, places=8).map(lambda number: f"{number:f}")


@given(st.integers(-(2**62), 2**63 - 1))
def test_a_moment_is_cut_to_the_microsecond(ns: int):
    read = datetime.fromisoformat(timestamp(ns))
    assert read - EPOCH == timedelta(microseconds=ns // 1_000)


@quick
@given(reasons=st.lists(storable, min_size=1, max_size=40))
async def test_text_comes_back_as_it_was(handler: PersistenceHandler, sql: asyncpg.Connection, reasons: list[str]):
    await sql.execute("truncate feed_events")
    await handler.handle(
        Batch([Feed(T0 + n * 1_000, "x", "A/B", "trade", "down", text) for n, text in enumerate(reasons)])
    )
    assert [row["reason"] for row in await sql.fetch("select reason from feed_events order by ts")] == reasons


@given(values=st.lists(st.tuples(storable | digits, storable | digits, storable | digits), max_size=20))
def test_lines_made_at_once_are_those_made_value_by_value(values: list[tuple[str, str, str]]):
    trades = [Trade("x", "A/B", T0, T0 + n, "ws", *value, "buy") for n, value in enumerate(values)]
    lines = TABLES[Trade].lines(trades, {("x", "A/B"): 7}).decode()
    assert lines == "".join(TABLES[Trade].row(trade, 7) for trade in trades)


@quick
@given(bids=st.lists(st.tuples(digits, digits), max_size=20), asks=st.lists(st.tuples(digits, digits), max_size=20))
async def test_levels_come_back_with_their_digits(
    handler: PersistenceHandler, sql: asyncpg.Connection, bids: list[tuple[str, str]], asks: list[tuple[str, str]]
):
    await sql.execute("truncate md.book_deltas")
    await handler.handle(Batch([Book(*HEAD, "delta", bids, asks)]))
    row = await sql.fetchrow("select bids, asks from book_deltas")
    for side, sent in (("bids", bids), ("asks", asks)):
        assert [tuple(f"{number:f}" for number in pair) for pair in row[side]] == sent
