"""What Bybit sends, as its documentation shows it; every builder takes what differs."""

import json

from daemon.exchanges.bybit import Bybit

SPOT, LINEAR, INVERSE = 1, 2, 3
URLS = {
    SPOT: "wss://stream.bybit.com/v5/public/spot",
    LINEAR: "wss://stream.bybit.com/v5/public/linear",
    INVERSE: "wss://stream.bybit.com/v5/public/inverse",
}
T = 1672304486865

LISTS = {
    "spot": [
        {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading",
         "lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.000048", "minOrderAmt": "1"},
         "priceFilter": {"tickSize": "0.01"}},
    ],
    "linear": [
        {"symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC",
         "quoteCoin": "USDT", "deliveryTime": "0", "priceFilter": {"tickSize": "0.10"},
         "lotSizeFilter": {"minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"}, "settleCoin": "USDT"},
        {"symbol": "BTC-27DEC24", "contractType": "LinearFutures", "status": "Trading", "baseCoin": "BTC",
         "quoteCoin": "USDC", "deliveryTime": "1735286400000", "priceFilter": {"tickSize": "0.5"},
         "lotSizeFilter": {"minOrderQty": "0.001", "qtyStep": "0.001"}, "settleCoin": "USDC"},
    ],
    "inverse": [
        {"symbol": "BTCUSD", "contractType": "InversePerpetual", "status": "Trading", "baseCoin": "BTC",
         "quoteCoin": "USD", "deliveryTime": "0", "priceFilter": {"tickSize": "0.5"},
         "lotSizeFilter": {"minOrderQty": "1", "qtyStep": "1"}, "settleCoin": "BTC"},
        {"symbol": "BTCUSDZ24", "contractType": "InverseFutures", "status": "Trading", "baseCoin": "BTC",
         "quoteCoin": "USD", "deliveryTime": "1735286400000", "priceFilter": {"tickSize": "0.5"},
         "lotSizeFilter": {"minOrderQty": "1", "qtyStep": "1"}, "settleCoin": "BTC"},
    ],
}  # fmt: skip


def answered(items: list, category: str = "", cursor: str = "") -> str:
    result = {"category": category, "list": items, "nextPageCursor": cursor}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "time": T})


def listed(source: str = "ws") -> Bybit:
    """A translator that knows its symbols and has a connection to each category."""
    bybit = Bybit(source)
    for request in bybit.instruments_requests():
        category = request.params["category"]
        bybit.answer(request, answered(LISTS[category], category), 1)
    for connection, url in URLS.items():
        bybit.connected(connection, url)
    return bybit


def frame(topic: str, data, type_: str = "snapshot", **more) -> bytes:
    return json.dumps({"topic": topic, "type": type_, "ts": T, "data": data} | more, separators=(",", ":")).encode()


def trade(**changes) -> bytes:
    item = {"T": T, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50", "i": "20f43950", "BT": False} | changes
    return frame("publicTrade.BTCUSDT", [item])


def book(
    u: int, type_: str = "delta", topic: str = "orderbook.200.BTCUSDT", bids=(("30247.20", "30.028"),), asks=()
) -> bytes:
    data = {"s": topic.rpartition(".")[2], "b": bids, "a": asks, "u": u, "seq": 66544703342}
    return frame(topic, data, type_, cts=T - 2)


def tickers(type_: str = "snapshot", topic: str = "tickers.BTCUSDT", ts: int = T, **fields) -> bytes:
    return frame(topic, fields, type_, ts=ts, cs=24987956059)


FULL = {
    "bid1Price": "17215.50", "bid1Size": "84.489", "ask1Price": "17216.00", "ask1Size": "83.020",
    "lastPrice": "17216.00", "prevPrice24h": "16926.50", "highPrice24h": "17281.50", "lowPrice24h": "16915.00",
    "volume24h": "91705.276", "turnover24h": "1570383121.943499", "markPrice": "17217.33", "indexPrice": "17227.36",
    "openInterest": "68744.761", "openInterestValue": "1183601235.91", "fundingRate": "-0.000212",
    "nextFundingTime": "1673280000000",
}  # fmt: skip


def kline(**changes) -> bytes:
    item = {
        "start": 1672324800000, "end": 1672325099999, "interval": "5", "open": "16649.5", "close": "16677",
        "high": "16677", "low": "16608", "volume": "2.081", "turnover": "34666.4005", "confirm": False,
        "timestamp": 1672324988882,
    } | changes  # fmt: skip
    return frame("kline.5.BTCUSDT", [item])


def liquidations(*items: dict) -> bytes:
    base = {"T": T, "s": "BTCUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}
    return frame("allLiquidation.BTCUSDT", [base | item for item in items])
