"""prices.latest: all, some, of one exchange, unknown ones."""

from types import SimpleNamespace

import pytest

from bus.clock import SECOND, ManualClock
from bus.errors import UsageError
from bus.events import Trade
from daemon.control.prices import prices_latest
from daemon.control.request import Rejected, Request
from daemon.exchanges.base import FeedKey
from daemon.prices import LatestPrices

CLOCK = ManualClock()
REQUEST = Request("1-0", "1-0", "", "prices.latest", {}, None, None)


@pytest.fixture
def command():
    prices = LatestPrices()
    for exchange, symbol in (("binance", "BTC/USDT"), ("okx", "BTC/USDT"), ("okx", "ETH/USDT")):
        prices.take(Trade(exchange, symbol, CLOCK.now() - SECOND, CLOCK.now(), "ws", "1", "5.0", "1", "buy"))
    feeds = [FeedKey("SOL/USDT", "trade", ""), FeedKey("BTC/USDT", "trade", "")]
    return prices_latest(prices, {"binance": SimpleNamespace(feeds=feeds)}, CLOCK)


async def ask(command, **arguments):
    return [
        (row["exchange"], row["symbol"], row["price"]) for row in await command.run(command.parse(arguments), REQUEST)
    ]


async def test_all_in_order_with_those_that_have_no_price_yet(command):
    assert await ask(command) == [
        ("binance", "BTC/USDT", "5.0"), ("binance", "SOL/USDT", None), ("okx", "BTC/USDT", "5.0"),
        ("okx", "ETH/USDT", "5.0"),
    ]  # fmt: skip


async def test_some(command):
    assert await ask(command, symbols=["BTC/USDT"]) == [("binance", "BTC/USDT", "5.0"), ("okx", "BTC/USDT", "5.0")]
    assert await ask(command, symbols=["BTC/USDT"], exchange="okx") == [("okx", "BTC/USDT", "5.0")]


async def test_a_row_has_every_field_of_the_view_and_its_age(command):
    (row,) = await command.run(command.parse({"symbols": ["ETH/USDT"]}), REQUEST)
    assert row == {
        "exchange": "okx", "symbol": "ETH/USDT", "ts": CLOCK.now() - SECOND, "age": 1.0, "price": "5.0",
        "change_24h": None, "change_24h_percent": None, "volume": None, "high_24h": None, "low_24h": None,
    }  # fmt: skip


async def test_what_is_unknown_is_named_with_the_nearest(command):
    with pytest.raises(UsageError, match=r"symbols = ETH/USDC: .*did you mean ETH/USDT\?"):
        await ask(command, symbols=["BTC/USDT", "ETH/USDC"])
    with pytest.raises(UsageError, match=r"exchange = binanse: .*did you mean binance\?"):
        await ask(command, exchange="binanse")
    with pytest.raises(Rejected, match="write BTC/USDT"):
        command.parse({"symbols": ["btcusdt"]})
