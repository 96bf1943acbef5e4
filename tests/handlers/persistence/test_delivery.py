"""However events are cut into batches, repeated and put in another order, the same rows stand in the end."""

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.events import Event, Gap
from bus.handler import Batch
from handlers.persistence import PersistenceHandler
from handlers.persistence.tables import BOOK_SNAPSHOTS, TABLES
from tests.handlers.persistence.samples import EVENTS, T0, candle, everything, trade


def gap(moment: int, state: str) -> Gap:
    return Gap(T0 + moment * 1_000, "g", "binance", "BTC/USDT", "trade", T0, T0 + 1, "1", "2", state, "")


STORY: list[Event] = [
    *EVENTS,
    *[trade(number) for number in range(2, 12)],
    *[candle(str(number), T0 + number, closed=number == 7) for number in range(1, 10)],
    *[gap(moment, state) for moment, state in enumerate(("open", "filling", "open", "filling", "filled"))],
]

deliveries = st.permutations(range(len(STORY))).flatmap(
    lambda order: st.lists(
        st.tuples(st.integers(0, len(order)), st.integers(0, len(order))).map(lambda cut: order[min(cut) : max(cut)]),
        max_size=6,
    ).map(lambda overlapping: [*overlapping, order])
)


async def empty(sql: asyncpg.Connection) -> None:
    tables = ", ".join(table.sql for table in (*TABLES.values(), BOOK_SNAPSHOTS))
    await sql.execute(f"truncate {tables}")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=deliveries)
async def test_any_cut_order_and_repetition_leaves_the_same_rows(
    handler: PersistenceHandler, sql: asyncpg.Connection, batches: list[list[int]]
):
    await empty(sql)
    await handler.handle(Batch(STORY))
    expected = await everything(sql)
    assert [len(expected[name]) for name in ("trades", "tickers", "candles", "feed_gaps")] == [11, 2, 1, 2]
    await empty(sql)
    for batch in batches:
        await handler.handle(Batch([STORY[index] for index in batch]))
    got = await everything(sql)
    # when a gap was first heard of is the one thing that depends on the order
    got["feed_gaps"], expected["feed_gaps"] = ([row[:11] for row in some["feed_gaps"]] for some in (got, expected))
    assert got == expected


async def test_an_overlap_is_merged_until_a_batch_is_new_again(handler: PersistenceHandler, sql: asyncpg.Connection):
    overlapping = handler._writer._overlapping
    for numbers, merged_next in (
        (range(10), False),
        (range(5, 15), True),
        (range(10, 20), True),
        (range(20, 30), False),
    ):
        await handler.handle(Batch([trade(number) for number in numbers]))
        assert bool(overlapping) is merged_next
    assert await sql.fetchval("select count(*) from trades") == 30
