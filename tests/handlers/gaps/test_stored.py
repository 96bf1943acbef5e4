"""State that is lost with the bus is taken up from what is stored: the hole since then is found all the same."""

from collections.abc import AsyncIterator

import pytest

from bus.errors import StoreUnavailable
from bus.events import MARKET_CHANNELS, Book, Event, Gap
from bus.handler import Batch
from bus.local import LocalState
from handlers.gaps import GapHandler, Stored
from handlers.persistence import PersistenceHandler
from migrations.runner import migrate
from tests.handlers.gaps.gap_run import BTC, MINUTE, T0, at, candle, delta, snapshot, ticker, trade


@pytest.fixture
async def persistence(database: str) -> AsyncIterator[PersistenceHandler]:
    await migrate(database)
    made = PersistenceHandler(database)
    await made.start(LocalState())
    yield made
    await made.close()


@pytest.fixture
async def fresh(database: str, persistence: PersistenceHandler) -> AsyncIterator[GapHandler]:
    """A handler without any state."""
    handler = GapHandler(frozenset({"binance"}), Stored(database))
    await handler.start(LocalState())
    yield handler
    await handler.close()


async def told(handler: GapHandler, *events: Event) -> list[Gap]:
    found = [*await handler.handle(Batch(events)), *await handler.tick(at(500)), *await handler.tick(at(600))]
    return [gap for gap in found if isinstance(gap, Gap)]


async def test_missing_trades_are_counted_from_the_last_stored_id(fresh, persistence):
    await persistence.handle(Batch([trade(8), trade(9), trade(10), trade(90, 30)]))  # the last one is of this life
    gaps = {gap.id: gap for gap in await told(fresh, trade(21, 20), trade(22, 20))}
    (gap,) = gaps.values()
    assert (gap.channel, gap.from_id, gap.to_id, gap.state) == ("trade", "11", "20", "open")
    assert (gap.from_ts, gap.to_ts) == (at(0), at(20))


async def test_missing_candles_are_counted_from_the_last_stored_one(fresh, persistence):
    await persistence.handle(Batch([candle(0), candle(1), candle(2, closed=False)]))
    gaps = {gap.id: gap for gap in await told(fresh, candle(5))}
    (gap,) = gaps.values()
    assert (gap.channel, gap.from_ts, gap.to_ts) == ("candle", T0 + 2 * MINUTE, T0 + 5 * MINUTE)


async def test_a_book_has_lost_what_came_between(fresh, persistence):
    await persistence.handle(Batch([snapshot(5), delta(6, 7, 1)]))
    (gap,) = await told(fresh, snapshot(40, 9))
    assert (gap.channel, gap.from_id, gap.to_id, gap.state) == ("book", "8", "40", "unfillable")


async def test_a_feed_without_ids_is_missing_since_its_last_stored_event(fresh, persistence):
    await persistence.handle(Batch([trade(7, exchange="bybit"), ticker(1)]))
    gaps = await told(fresh, trade(3, 50, exchange="bybit"), ticker(60))
    assert [(gap.exchange, gap.channel, gap.from_ts, gap.to_ts, gap.state) for gap in gaps[:2]] == [
        ("bybit", "trade", at(0), at(50), "open"),
        ("binance", "ticker", at(1), at(60), "unfillable"),
    ]
    assert "last stored event" in gaps[0].reason


@pytest.mark.parametrize("channel", sorted({*MARKET_CHANNELS} - {"candle"}))  # candles are followed on their grid
async def test_every_channel_can_be_asked_for(database, persistence, channel):
    stored = Stored(database)
    assert await stored.before(("feed", "binance", BTC, channel), at(0)) is None
    await stored.close()


async def test_a_book_without_ids_is_missing_since_its_last_stored_change(fresh, persistence):
    """Coinbase and Kraken: no message of a book has an id."""

    def book(seconds: float, kind: str) -> Book:
        return Book("kraken", BTC, at(seconds), at(seconds), "ws", kind, [("1", "1")], [])

    await persistence.handle(Batch([book(0, "snapshot"), book(1, "delta"), book(4, "delta")]))
    (gap,) = await told(fresh, book(30, "snapshot"), book(31, "delta"))
    assert (gap.exchange, gap.channel, gap.from_ts, gap.to_ts) == ("kraken", "book", at(4), at(30))
    assert gap.state == "unfillable"


async def test_nothing_is_missing_of_what_was_never_stored(fresh, persistence):
    await persistence.handle(Batch([trade(7, symbol="ETH/USDT")]))
    assert await told(fresh, trade(21), ticker(1), candle(3), snapshot(5)) == []


async def test_state_that_is_kept_is_not_asked_for_again(database, persistence):
    state = LocalState()
    first = GapHandler(frozenset({"binance"}), Stored(database))
    await first.start(state)
    await first.handle(Batch([trade(7)]))
    await first.close()
    await persistence.handle(Batch([trade(3), trade(7)]))
    second = GapHandler(frozenset({"binance"}), Stored(database.replace("/t", "/no", 1)))
    await second.start(state)
    assert await told(second, trade(8, 1)) == []
    await second.close()


async def test_a_database_that_is_away_holds_the_batch_back():
    handler = GapHandler(frozenset({"binance"}), Stored("postgresql://nobody@127.0.0.1:1/none"))
    await handler.start(LocalState())
    with pytest.raises(StoreUnavailable, match=BTC):
        await handler.handle(Batch([trade(1)]))
    await handler.close()
