"""cryptofeed with its own Redis Streams backend, pointed at the simulated exchange. Imports nothing of marketd.

python peer_cryptofeed.py EXCHANGE_URL REDIS_URL SYMBOL,SYMBOL; runs until it is killed, on cryptofeed 2.4 and 3.0.
"""

import asyncio
import sys
from urllib.parse import urlsplit

from cryptofeed import FeedHandler, connection
from cryptofeed.backends.redis import BookStream, TradeStream
from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK, TRADES
from cryptofeed.exchanges import Binance


def main(exchange: str, redis: str, symbols: str) -> None:
    # it takes encrypted addresses only, which the simulated exchange does not speak
    connect = connection.connect
    connection.connect = lambda address, **options: connect(address.replace("wss:", "ws:", 1), **options)
    Binance.websocket_endpoints = [WebsocketEndpoint(exchange.replace("http", "wss", 1))]
    Binance.rest_endpoints = [RestEndpoint(exchange, routes=Binance.rest_endpoints[0].routes)]
    handler = FeedHandler()
    asyncio.set_event_loop(asyncio.new_event_loop())  # 2.4 expects one, of the kind that its handler has just chosen
    server = urlsplit(redis)
    handler.add_feed(
        Binance(
            symbols=symbols.replace("/", "-").split(","),
            channels=[TRADES, L2_BOOK],
            callbacks={
                TRADES: TradeStream(host=server.hostname, port=server.port),
                L2_BOOK: BookStream(host=server.hostname, port=server.port),
            },
        )
    )
    handler.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
