"""Other people's Binance clients work against it unchanged but for the URL."""

import asyncio

import pytest
from ccxt import async_support, pro

from daemon.simulator import Simulator

OPTIONS = {"options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}}


def point(exchange, simulator: Simulator):
    for name in ("public", "v1", "private", "v3"):
        if name in exchange.urls["api"]:
            exchange.urls["api"][name] = f"{simulator.url}/api/v3"
    if isinstance(exchange.urls["api"].get("ws"), dict):
        exchange.urls["api"]["ws"]["spot"] = f"ws://127.0.0.1:{simulator.port}/ws"
    return exchange


@pytest.mark.filterwarnings("default")
async def test_ccxt_reads_markets_book_trades_candles_and_tickers(simulator: Simulator):
    exchange = point(async_support.binance(OPTIONS), simulator)
    try:
        async with asyncio.timeout(60):
            markets = await exchange.load_markets()
            assert markets["BTC/USDT"]["precision"]["price"] == 0.01
            await asyncio.sleep(1)
            book = await exchange.fetch_order_book("BTC/USDT", 10)
            assert book["bids"][0][0] < book["asks"][0][0]
            trades = await exchange.fetch_trades("BTC/USDT", limit=5)
            assert len(trades) == 5
            assert (await exchange.fetch_ticker("BTC/USDT"))["last"] > 0
            assert len(await exchange.fetch_ohlcv("BTC/USDT", "1m", limit=5)) >= 1
            assert set(await exchange.fetch_tickers(["BTC/USDT", "ETH/USDT"])) == {"BTC/USDT", "ETH/USDT"}
    finally:
        await exchange.close()


@pytest.mark.filterwarnings("default")
async def test_ccxt_pro_watches_trades_book_ticker_and_candles(simulator: Simulator):
    exchange = point(pro.binance(OPTIONS), simulator)
    try:
        async with asyncio.timeout(60):
            assert (await exchange.watch_trades("BTC/USDT"))[-1]["price"] > 0
            book = await exchange.watch_order_book("BTC/USDT")
            assert book["bids"][0][0] < book["asks"][0][0]
            assert (await exchange.watch_ticker("BTC/USDT"))["last"] > 0
            assert (await exchange.watch_ohlcv("BTC/USDT", "1m"))[-1][4] > 0
    finally:
        await exchange.close()
