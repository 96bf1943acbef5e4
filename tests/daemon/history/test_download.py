"""Only what is missing is asked for, all of it lands, and what is said afterwards is what stands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from bus.clock import SECOND, ManualClock
from bus.errors import ExchangeUnavailable, NotAsked, RequestRefused, UsageError
from bus.events import Candle, Trade
from daemon.exchanges.base import FeedKey, Span
from daemon.history.arguments import Download
from daemon.history.download import Downloader
from daemon.tasks import Progress
from handlers.persistence.writer import Writer
from migrations.runner import migrate

MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
NOW = 1_723_161_240 * SECOND
HOUR = NOW // (60 * MINUTE) * 60 * MINUTE


class Exchange:
    """An exchange with a candle a minute and a trade every ten seconds; it counts what it is asked for."""

    def __init__(self, name: str = "binance") -> None:
        self.name = name
        self.asked: list[tuple[FeedKey, Span]] = []
        self.lacks: set[int] = set()
        """Minutes without a candle, ids without a trade."""
        self.lies: set[int] = set()
        """Five minutes of which the candle is wrong."""
        self.fails_after: int | None = None
        self.refuses = False

    def why_not(self, feed: FeedKey) -> str:
        return "" if feed.symbol.endswith("/USDT") else f"no {feed.symbol} here"

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[Sequence[Any]]:
        self.asked.append((feed, span))
        if feed.timeframe == "5m":
            first = -(-span.start // (5 * MINUTE)) * 5 * MINUTE
            yield [self.five(feed.symbol, at) for at in range(first, span.end + 1, 5 * MINUTE)]
            return
        if self.refuses:
            raise RequestRefused("too long ago")
        if self.fails_after is not None and len(self.asked) > self.fails_after:
            raise ExchangeUnavailable("away")
        step, make = (MINUTE, self.candle) if feed.channel == "candle" else (10 * SECOND, self.trade)
        events = [make(feed.symbol, at) for at in range(-(-span.start // step) * step, span.end + 1, step)]
        events = [event for event in events if event is not None]
        for start in range(0, len(events), 700):
            yield events[start : start + 700]

    def candle(self, symbol: str, at: int) -> Candle | None:
        number = at // MINUTE
        if number in self.lacks:
            return None
        price, closed = f"{number % 97 + 1}.5", at + MINUTE <= NOW
        return Candle(
            self.name, symbol, None, NOW + at % SECOND, "backfill", "1m", at, price, price, price, price, "6", 6, closed
        )

    def five(self, symbol: str, at: int) -> Candle:
        """What five of the minutes add up to."""
        prices = [(at // MINUTE + n) % 97 + 1 for n in range(5)]
        row = [f"{price}.50" for price in (prices[0], max(prices), min(prices), prices[-1])]
        volume = "29" if at // MINUTE in self.lies else "30.0"
        return Candle(self.name, symbol, None, NOW, "backfill", "5m", at, *row, volume, None, closed=True)

    def trade(self, symbol: str, at: int) -> Trade | None:
        number = at // (10 * SECOND)
        return (
            None
            if number in self.lacks
            else Trade(self.name, symbol, at, NOW, "backfill", str(number), "5", "1", "buy")
        )

    @asynccontextmanager
    async def open(self, name: str) -> AsyncIterator["Exchange"]:
        assert name == self.name
        yield self


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(database)
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def download(database: str, exchange: Exchange, **arguments: Any) -> Any:
    clock = ManualClock(NOW)
    progress = Progress(clock, NOW)
    asked = Download(exchange=exchange.name, symbols=arguments.pop("symbols", ("BTC/USDT",)), **arguments)
    result = await Downloader(database, exchange, clock).run(asked, progress)
    assert progress.done == progress.total
    return result


async def test_candles_land_and_are_not_asked_for_again(database, sql):
    exchange = Exchange()
    result = await download(database, exchange, since="3d", symbols=("BTC/USDT", "ETH/USDT"))
    assert await sql.fetchval("select count(*) from candles where closed") == 2 * 3 * 1_440
    assert result["complete"]
    assert [feed["rows"] for feed in result["feeds"]] == [4_320, 4_320]
    asked = len(exchange.asked)
    assert asked == result["slices_fetched"] == 10
    again = await download(database, exchange, since="3d", symbols=("BTC/USDT", "ETH/USDT"))
    assert (len(exchange.asked), again["slices_fetched"], again["slices_stored_before"]) == (asked, 0, 10)
    assert again["complete"]


async def test_only_the_hole_is_asked_for(database, sql):
    exchange = Exchange()
    await download(database, exchange, since="1d")
    first, last = NOW // MINUTE - 500, NOW // MINUTE - 490
    await sql.execute(
        "delete from md.candles where open_ts between md.at($1) and md.at($2)", first * MINUTE, last * MINUTE
    )
    exchange.asked.clear()
    result = await download(database, exchange, since="1d")
    assert result["complete"]
    assert [(span.start, span.end) for _, span in exchange.asked] == [(first * MINUTE, last * MINUTE)]


async def test_what_the_exchange_lacks_is_said_and_asked_for_once(database, sql):
    exchange = Exchange()
    lacking = NOW // MINUTE - 2_000
    exchange.lacks = {lacking, lacking + 1, lacking + 50}
    result = await download(database, exchange, since="3d")
    (feed,) = result["feeds"]
    assert (result["complete"], feed["missing"], feed["by"]) == (False, 3, "grid")
    assert feed["holes"] == [(lacking * MINUTE, (lacking + 1) * MINUTE), ((lacking + 50) * MINUTE,) * 2]
    asked = len(exchange.asked)
    assert (await download(database, exchange, since="3d"))["feeds"] == result["feeds"]
    assert len(exchange.asked) == asked


async def test_after_a_failure_it_goes_on_where_it_was(database, sql):
    exchange = Exchange()
    exchange.fails_after = 3
    with pytest.raises(ExchangeUnavailable):
        await download(database, exchange, since="6d", jobs=1)
    assert await sql.fetchval("select count(*) from candles") > 2_000
    exchange.fails_after = None
    result = await download(database, exchange, since="6d", jobs=1)
    assert (result["complete"], result["slices_stored_before"]) == (True, 3)
    assert await sql.fetchval("select count(*) from candles") == 6 * 1_440


class HalfOpen(Exchange):
    """Its breaker lets one request through, to try; while that is under way all others are refused."""

    def __init__(self, *, well: bool) -> None:
        super().__init__()
        self.well = well
        self.closed = self.probing = False
        self.refused = 0

    async def history(self, feed: FeedKey, span: Span) -> AsyncIterator[Sequence[Any]]:
        if not self.closed:
            if self.probing:
                self.refused += 1
                raise NotAsked("the breaker is half_open")
            self.probing = True
            try:
                async with asyncio.timeout(60):
                    while self.refused < 3:
                        await asyncio.sleep(0.001)
                self.closed = self.well
            finally:
                self.probing = False
            if not self.well:
                raise ExchangeUnavailable("away")
        async for page in super().history(feed, span):
            yield page


async def test_the_request_that_a_half_open_breaker_lets_through_is_not_cancelled_for_the_others(database, sql):
    exchange = HalfOpen(well=True)
    result = await download(database, exchange, since="6d", jobs=4)
    assert (result["complete"], exchange.refused, exchange.closed) == (True, 3, True)
    assert await sql.fetchval("select count(*) from candles") == 6 * 1_440


async def test_a_half_open_breaker_whose_request_fails_ends_the_download(database, sql):
    with pytest.raises(ExchangeUnavailable, match="away"):
        await download(database, HalfOpen(well=False), since="6d", jobs=4)
    stuck = HalfOpen(well=True)
    stuck.probing = True  # by somebody else
    with pytest.raises(NotAsked):
        await download(database, stuck, since="6d", jobs=4)


async def test_trades_are_checked_by_their_ids(database, sql):
    exchange = Exchange()
    result = await download(database, exchange, since="1d", channel="trade")
    assert await sql.fetchval("select count(*) from trades") == 8_640
    assert result["complete"]
    asked = len(exchange.asked)
    await download(database, exchange, since="1d", channel="trade")
    assert len(exchange.asked) == asked + 2  # the parts of hours at both ends
    gone = HOUR // (10 * SECOND) - 1_000
    await sql.execute("delete from md.trades where id in ($1, $2)", str(gone), str(gone + 1))
    exchange.lacks = {gone}
    result = await download(database, exchange, since="1d", channel="trade")
    assert result["feeds"][0]["holes"] == [(gone, gone)]
    assert (result["complete"], result["feeds"][0]["missing"], result["feeds"][0]["by"]) == (False, 1, "ids")


async def test_trades_that_came_live_are_not_asked_for(database, sql):
    exchange = Exchange()
    live = [exchange.trade("BTC/USDT", at) for at in range(HOUR - 3 * 60 * MINUTE, HOUR + MINUTE, 10 * SECOND)]
    writer = Writer(database, ManualClock())
    await writer.write([trade for trade in live if trade is not None], {})
    await writer.close()
    since, until = "2024-08-08T20:00", "2024-08-08T23:00"
    assert (await download(database, exchange, since=since, until=until, channel="trade"))["complete"]
    starts = [span.start for _, span in exchange.asked]
    assert starts == [HOUR - 3 * 60 * MINUTE]  # of the first hour nobody knows what came before


async def test_where_ids_say_nothing_volumes_are_compared(database, sql):
    exchange = Exchange("okx")
    assert (await download(database, exchange, since="3h", channel="trade"))["complete"]
    exchange.lacks = {HOUR // (10 * SECOND) - 100}
    await sql.execute("truncate md.trades; truncate md.history_slices")
    result = await download(database, exchange, since="3h", channel="trade")
    (feed,) = result["feeds"]
    assert (feed["by"], feed["missing"], feed["complete"]) == ("volume", 1, False)


async def test_longer_candles_are_compared_with_their_minutes(database, sql):
    exchange = Exchange()
    exchange.lies = {HOUR // MINUTE - 60}
    await download(database, exchange, since="3h")
    (feed,) = (await download(database, exchange, since="4h", timeframe="5m"))["feeds"]
    assert (feed["rows"], feed["missing"], feed["compared"], feed["differ"]) == (47, 0, 35, 1)
    assert feed["differing"] == ["2024-08-08T22:00:00+00:00 volume 29, by its minutes 30"]


async def test_refusals_are_said_and_unknown_symbols_are_no_work(database, sql):
    exchange = Exchange()
    exchange.refuses = True
    result = await download(database, exchange, since="3d")
    assert (result["complete"], result["feeds"][0]["reason"], len(exchange.asked)) == (False, "too long ago", 4)
    with pytest.raises(UsageError, match="no BTC/EUR here"):
        await download(database, exchange, since="3d", symbols=("BTC/EUR",))
