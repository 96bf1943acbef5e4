"""ccxt's Binance class against the simulated exchange, over real sockets."""

from bus.events import Book, Candle, Ticker, Trade
from tests.daemon.collectors.ccxt.conftest import running, until


async def test_every_channel_is_delivered(simulator):
    async with running(simulator) as (collector, bus):
        await until(lambda: all(bus.of(kind) for kind in (Trade, Ticker, Book, Candle)))
        await until(lambda: all(watch["state"] == "live" for watch in collector.status()["feeds"]))
        assert not bus.dead
        assert bus.of(Book)[0].kind == "snapshot"
