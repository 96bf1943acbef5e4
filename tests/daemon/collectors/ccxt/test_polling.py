"""An exchange that ccxt cannot stream is polled: ccxt's bitFlyer class against as much of bitFlyer as it needs.

https://lightning.bitflyer.com/docs?lang=en
"""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bus.clock import SECOND
from bus.errors import ExchangeUnavailable, RequestRefused
from bus.events import Book, Breaker, Funding, Ticker, Trade
from daemon.exchanges.base import FeedKey, Span
from tests.daemon.collectors.ccxt.helpers import Hasty, running, served, until
from tests.daemon.collectors.helpers import ListeningBus

BTC = "BTC/JPY"
ANSWERS = {
    "getboard": '{"mid_price":1,"bids":[{"price":100.10,"size":0.50}],"asks":[{"price":100.2,"size":1}]}',
    "getticker": '{"timestamp":"2028-01-01T00:00:00.5","best_bid":100.10,"best_ask":100.2,"ltp":1e2}',
    "getfundingrate": '{"current_funding_rate":-0.00310,"next_funding_rate_settledate":"2028-01-01T08:00:00"}',
}


class BitFlyer:
    """Answers what the test puts here."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.trades: list[int] = [1, 2, 3]
        self.instead: web.Response | None = None
        self.markets = [
            {"product_code": "BTC_JPY", "market_type": "Spot"},
            {"product_code": "FX_BTC_JPY", "market_type": "FX"},
            {"product_code": "BTCJPY11FEB2028", "alias": "BTCJPY_MAT1WK", "market_type": "Futures"},
        ]

    async def rest(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v1/")
        self.requests.append(path)
        if self.instead is not None:
            return web.Response(status=self.instead.status, headers=self.instead.headers, text=self.instead.text)
        if path.startswith("getmarkets"):
            return web.json_response(self.markets)
        if path == "getexecutions":
            return web.json_response([execution(number) for number in reversed(self.trades)])
        return web.Response(text=ANSWERS[path], content_type="application/json")


def execution(number: int) -> dict:
    when = f"2028-01-01T00:00:{number:02}.25"
    return {"id": 70_000 + number, "side": "SELL", "price": 100.1, "size": 0.08790, "exec_date": when}


@pytest.fixture
async def bitflyer() -> AsyncIterator[BitFlyer]:
    async with served(BitFlyer()) as exchange:
        yield exchange


def polling(exchange, symbols=(BTC,), channels=("trade",), **more):
    return running(exchange, name="bitflyer", symbols=symbols, channels=channels, options={}, clock=Hasty(), **more)


async def test_each_trade_comes_once_in_order_however_the_answers_overlap(bitflyer):
    async with polling(bitflyer) as (_, bus):
        await until(lambda: len(bus.of(Trade)) == 3)
        bitflyer.trades = [2, 3, 4, 5]
        await until(lambda: len(bus.of(Trade)) == 5)
        assert bus.ids(BTC) == [70_001, 70_002, 70_003, 70_004, 70_005]
        assert bus.states(BTC) == ["connecting", "live"]
        first = bus.of(Trade)[0]
        assert (first.price, first.amount, first.side, first.source) == ("100.1", "0.0879", "sell", "rest")
        assert first.ts % SECOND == SECOND // 4


async def test_what_may_have_happened_between_two_answers_without_overlap_is_told(bitflyer):
    async with polling(bitflyer) as (_, bus):
        await until(lambda: bus.of(Trade))
        bitflyer.trades = [8, 9]
        await until(lambda: bus.states(BTC) == ["connecting", "live", "down", "live"])
        assert "between two polls" in bus.reasons(BTC)[2]


async def test_books_tickers_and_funding_rates_are_polled_with_the_digits_of_the_exchange(bitflyer):
    swap = "BTC/JPY:JPY"
    async with polling(bitflyer, symbols=(swap,), channels=("book", "ticker", "funding")) as (collector, bus):
        await until(lambda: bus.of(Funding) and bus.of(Ticker) and len(bus.of(Book)) > 1)
        assert {book.kind for book in bus.of(Book)} == {"snapshot"}
        assert (bus.of(Book)[0].bids, bus.of(Book)[0].asks) == ([("100.10", "0.50")], [("100.2", "1")])
        assert (bus.of(Ticker)[0].bid, bus.of(Ticker)[0].last) == ("100.10", "100")
        assert bus.of(Funding)[0].rate == "-0.00310"
        assert collector.status()["connections"] == 0


async def test_spot_perpetual_and_dated_symbols_have_unified_names(bitflyer):
    async with polling(bitflyer) as (collector, _):
        await until(lambda: collector.loaded)
        kinds = {symbol: one.kind for symbol, one in collector.listing.instruments.items()}
        assert kinds == {BTC: "spot", "BTC/JPY:JPY": "linear", "BTC/JPY:JPY-280211": "future"}
        refused = await collector.add([FeedKey("BTC/JYP", "trade"), FeedKey(BTC, "funding"), FeedKey(BTC, "candle")])
        reasons = " | ".join(refused.values())
        assert "nearest: BTC/JPY" in reasons
        assert "not a derivative" in reasons
        assert "no channel candle" in reasons


async def test_an_exchange_that_fails_opens_the_breaker_and_is_polled_again_when_it_is_back(bitflyer):
    async with polling(bitflyer) as (collector, bus):
        await until(lambda: bus.states(BTC)[-1:] == ["live"])
        bitflyer.instead = web.Response(status=503, text="down for maintenance")
        await until(lambda: collector.breakers["rest"].state == "open")
        assert bus.states(BTC)[-1] == "down"
        bitflyer.instead = None
        await until(lambda: bus.states(BTC)[-1] == "live")
        assert "open" in {event.state for event in bus.of(Breaker)}
        assert bus.ids(BTC) == [70_001, 70_002, 70_003]


async def test_a_pause_that_the_exchange_demands_is_kept(bitflyer):
    async with polling(bitflyer) as (collector, bus):
        await until(lambda: bus.of(Trade))
        bitflyer.instead = web.Response(status=429, headers={"Retry-After": "3600"}, text="{}")
        await until(lambda: "down" in bus.states(BTC))
        asked = len(bitflyer.requests)
        with pytest.raises(ExchangeUnavailable):
            await anext(collector.history(FeedKey(BTC, "trade"), Span(0, SECOND)))
        assert len(bitflyer.requests) == asked
        assert collector.status()["banned_until"] is None


async def test_a_ban_outlives_a_restart(bitflyer):
    bus = ListeningBus()
    async with polling(bitflyer, bus=bus) as (collector, _):
        await until(lambda: bus.of(Trade))
        bitflyer.instead = web.Response(status=418, headers={"Retry-After": "3600"}, text="{}")
        await until(lambda: collector.breakers["ws"].state == "open")
    asked, bitflyer.instead = len(bitflyer.requests), None
    async with polling(bitflyer, bus=bus) as (collector, _):
        await until(lambda: "no symbol list yet" in bus.reasons(BTC)[-1])
        assert collector.status()["banned_until"]
        assert collector.breakers["rest"].state == collector.breakers["ws"].state == "open"
    assert len(bitflyer.requests) == asked


@pytest.mark.parametrize("text", ['{"data": [', "<html>maintenance</html>", '[{"id": 5}]'])
async def test_an_answer_that_nobody_can_read_is_set_aside(bitflyer, text):
    async with polling(bitflyer) as (_, bus):
        await until(lambda: bus.of(Trade))
        bitflyer.instead = web.Response(text=text)
        await until(lambda: bus.dead and bus.states(BTC)[-1] == "down")
        assert bus.dead[0].payload == text.encode()
        bitflyer.instead = None
        await until(lambda: bus.states(BTC)[-1] == "live")
        assert len(bus.of(Trade)) == 3


async def test_a_symbol_list_that_nobody_can_read_keeps_the_feeds_down_and_says_why(bitflyer):
    bitflyer.markets = [{"no": "product"}]
    async with polling(bitflyer) as (_, bus):
        await until(lambda: bus.dead and "no symbol list yet" in bus.reasons(BTC)[-1])
        assert b"product" in bus.dead[0].payload


async def test_history_is_refused_where_nothing_shows_how_far_back_it_reaches(bitflyer):
    async with polling(bitflyer) as (collector, bus):
        await until(lambda: len(bus.of(Trade)) == 3)
        first, last = bus.of(Trade)[0].ts, bus.of(Trade)[-1].ts
        with pytest.raises(RequestRefused, match="reaches back"):
            await anext(collector.history(FeedKey(BTC, "trade"), Span(first, last)))
        pages = [page async for page in collector.history(FeedKey(BTC, "trade"), Span(first + 1, last))]
        assert [trade.id for page in pages for trade in page][:2] == ["70002", "70003"]
        with pytest.raises(RequestRefused, match="every symbol's volume"):
            await collector.volumes()


async def test_history_that_the_exchange_does_not_keep_is_refused(bitflyer):
    async with polling(bitflyer) as (collector, bus):
        await until(lambda: bus.of(Trade))
        with pytest.raises(RequestRefused, match="keeps no history"):
            await anext(collector.history(FeedKey(BTC, "candle", "1m"), Span(0, SECOND)))
