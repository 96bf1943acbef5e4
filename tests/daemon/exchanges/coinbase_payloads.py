"""What Coinbase Advanced Trade sends, as its documentation shows it; every builder takes what differs."""

import json

from daemon.exchanges.coinbase import Coinbase

T = "2023-02-09T20:32:50.714964855Z"
NS = 1675974770714964855

PRODUCTS = [
    {
        "product_id": "BTC-USD", "base_currency_id": "BTC", "quote_currency_id": "USD", "base_increment": "0.00000001",
        "quote_increment": "0.01", "price_increment": "0.01", "quote_min_size": "1", "base_min_size": "0.00000001",
        "alias": "", "product_type": "SPOT", "is_disabled": False, "trading_disabled": False,
    },
    {
        "product_id": "BTC-USDC", "base_currency_id": "BTC", "quote_currency_id": "USDC", "alias": "BTC-USD",
        "base_increment": "0.00000001", "quote_increment": "0.01", "product_type": "SPOT",
    },
    {
        "product_id": "CGLD-EUR", "base_currency_id": "CGLD", "quote_currency_id": "EUR", "base_increment": "0.01",
        "quote_increment": "0.001", "product_type": "SPOT", "trading_disabled": True,
    },
]  # fmt: skip


def listed(source: str = "ws", products=PRODUCTS) -> Coinbase:
    """A translator that knows its products."""
    coinbase = Coinbase(source)
    (request,) = coinbase.instruments_requests()
    coinbase.answer(request, json.dumps({"products": products}), 1)
    return coinbase


def frame(channel: str, number: int, *events: dict, time: str = T) -> bytes:
    message = {"channel": channel, "client_id": "", "timestamp": time, "sequence_num": number, "events": events}
    return json.dumps(message, separators=(",", ":")).encode()


def book(
    number: int, bids=(("21921.73", "0.06317902"),), asks=(), kind: str = "update", of: str = "BTC-USD", time: str = T
) -> bytes:
    levels = [("bid", *level) for level in bids] + [("offer", *level) for level in asks]
    updates = [
        {"side": side, "event_time": "1970-01-01T00:00:00Z", "price_level": price, "new_quantity": amount}
        for side, price, amount in levels
    ]
    return frame("l2_data", number, {"type": kind, "product_id": of, "updates": updates}, time=time)


def item(identity: int, of: str = "BTC-USD", **changes) -> dict:
    trade = {"trade_id": str(identity), "product_id": of, "price": "1260.01", "size": "0.3", "side": "BUY", "time": T}
    return trade | changes


def trades(number: int, *items: dict, kind: str = "update") -> bytes:
    return frame("market_trades", number, {"type": kind, "trades": items or [item(12345)]})


TICKER = {
    "type": "ticker", "price": "21932.98", "volume_24_h": "16038.28770938", "low_24_h": "21835.29",
    "high_24_h": "23011.18", "low_52_w": "15460", "high_52_w": "48240", "price_percent_chg_24_h": "-4.15775596190603",
    "best_bid": "21931.98", "best_bid_quantity": "8000.21", "best_ask": "21933.98",
    "best_ask_quantity": "8038.07770938",
}  # fmt: skip


def ticker(number: int, of: str = "BTC-USD", time: str = T, **changes) -> bytes:
    values = TICKER | {"product_id": of} | changes
    return frame("ticker", number, {"type": "update", "tickers": [values]}, time=time)


def bar(start: int = 1688998200, volume: str = "0.20269406", **more) -> dict:
    values = {"start": str(start), "high": "1867.72", "low": "1865.63", "open": "1867.38", "close": "1866.81"}
    return values | {"volume": volume} | more


def candles(number: int, *bars: dict, kind: str = "update") -> bytes:
    found = [values | {"product_id": "BTC-USD"} for values in bars or [bar()]]
    return frame("candles", number, {"type": kind, "candles": found})


def heartbeat(number: int) -> bytes:
    event = {"current_time": "2023-06-23 20:31:56.121961769 +0000 UTC", "heartbeat_counter": "3049"}
    return frame("heartbeats", number, event)
