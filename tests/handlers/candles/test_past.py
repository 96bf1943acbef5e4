"""The past as a real database has it, and a handler that is started again on it."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from bus.clock import SystemClock
from bus.errors import StoreUnavailable
from handlers.candles import StoredPast
from handlers.candles.bar import Bar
from handlers.candles.past import StoredTrade
from handlers.persistence.writer import Writer
from migrations.runner import migrate
from tests.handlers.candles.test_candles import HOUR, MINUTE, SECOND, T0, last_word, own, play, trade


@pytest.fixture
async def past(database: str) -> AsyncIterator[StoredPast]:
    await migrate(database)
    made = StoredPast(database)
    yield made
    await made.close()


async def store(database: str, events: list) -> None:
    writer = Writer(database, SystemClock())
    await writer.write(events, {})
    await writer.close()


async def test_what_is_stored_is_given_back_to_the_digit(database, past):
    assert await past.since("x", "A/B") is None
    minutes = [
        own("1m", T0 + n * MINUTE, "1.50", "2", "1.0", "1.25", "0.00000001", recv=T0 + n * MINUTE) for n in range(3)
    ]
    running = own("1m", T0 + 3 * MINUTE, "1", "2", "1", "2", "5", recv=T0 + 4 * MINUTE, closed=False)
    longer = own("5m", T0 - HOUR, "1", "2", "1", "2", "5", recv=T0)
    trades = [trade(n, T0 + n * SECOND + 123_456_000, "0.00000001", "2.50") for n in range(4)]
    await store(database, [*minutes, running, longer, *trades])
    assert await past.since("x", "A/B") == T0
    assert await past.since("x", "C/D") is None
    assert await past.minutes("x", "A/B", T0 + MINUTE, T0 + HOUR) == [Bar.of(each) for each in minutes[1:]]
    found = await past.trades("x", "A/B", T0, T0 + 3 * SECOND)
    assert found == [StoredTrade(str(n), T0 + n * SECOND + 123_456_000, "0.00000001", "2.50") for n in range(3)]


async def test_a_handler_started_again_goes_on_from_the_database(database, past):
    before = [own("1m", T0 + n * MINUTE, "4", "9", "3", "5", "1", recv=T0 + (n + 1) * MINUTE) for n in range(90)]
    lost = trade(900, T0 + 90 * MINUTE + SECOND, "50")
    await store(database, [*before, lost])
    now = T0 + 90 * MINUTE + 30 * SECOND
    told = await play([trade(901, now, "7"), trade(902, now + 40 * MINUTE, "8")], past, until=T0 + 24 * HOUR)  # type: ignore[arg-type]
    assert last_word(told, "1m")[T0 + 90 * MINUTE] == tuple(map(Decimal, ("50", "50", "7", "7", "2")))
    assert last_word(told, "1h")[T0 + HOUR] == tuple(map(Decimal, ("4", "50", "3", "7", "32")))
    assert last_word(told, "1d")[T0] == tuple(map(Decimal, ("4", "50", "3", "8", "93")))


async def test_a_database_that_is_away_is_said_so_and_asked_again():
    past = StoredPast("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable, match="cannot read candles"):
        await past.since("x", "A/B")
    await past.close()
