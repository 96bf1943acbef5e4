"""A ccxt.pro script as its users write it, pointed at the simulated exchange. Imports nothing of marketd.

python peer_ccxt.py EXCHANGE_URL REDIS_URL SYMBOL,SYMBOL; runs until it is killed. Every trade that a watch returns and
the best levels of every book that a watch returns become a stream entry; what one watch returns goes in one pipeline.
"""

import asyncio
import json
import sys

import ccxt.pro
import uvloop
from redis.asyncio import Redis

LEVELS = 20
"""Of each side of a book. The library returns whole books and does not tell what has changed."""


async def trades(exchange: ccxt.pro.binance, redis: Redis, symbols: list[str]) -> None:
    while True:
        pipeline = redis.pipeline(transaction=False)
        for trade in await exchange.watch_trades_for_symbols(symbols, params={"name": "aggTrade"}):
            fields = ("id", "timestamp", "symbol", "side", "price", "amount")
            pipeline.xadd(f"trade:{trade['symbol']}", {field: trade[field] for field in fields})
        await pipeline.execute()


async def books(exchange: ccxt.pro.binance, redis: Redis, symbols: list[str]) -> None:
    while True:
        book = await exchange.watch_order_book_for_symbols(symbols)
        levels = {"bids": json.dumps(book["bids"][:LEVELS]), "asks": json.dumps(book["asks"][:LEVELS])}
        time = book["timestamp"] or ""  # a book that is the first answer of the REST API has none
        await redis.xadd(f"book:{book['symbol']}", {"timestamp": time, "nonce": book["nonce"], **levels})


async def main(url: str, server: str, symbols: str) -> None:
    exchange = ccxt.pro.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
    exchange.urls["api"]["public"] = f"{url}/api/v3"
    exchange.urls["api"]["ws"]["spot"] = f"{url.replace('http', 'ws', 1)}/ws"
    redis = Redis.from_url(server)
    await asyncio.gather(trades(exchange, redis, symbols.split(",")), books(exchange, redis, symbols.split(",")))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
