"""The Python client: subscribe to events and send commands from any program, with the same types as marketd itself.

async with Client("redis://localhost") as client:
    async for event in client.subscribe(exchange="binance", channel="trade", symbol="BTC/USDT"):
        print(event.price, event.amount)
"""

from bus.client.client import Client

__all__ = ["Client"]
