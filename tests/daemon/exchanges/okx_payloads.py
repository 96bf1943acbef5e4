"""What OKX sends, as its documentation shows it; every builder takes what differs."""

import json

from daemon.exchanges.okx import Okx

T = 1630048897897

LISTS = {
    "SPOT": [
        {"instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "settleCcy": "", "uly": "",
         "ctVal": "", "ctType": "", "lotSz": "0.00000001", "minSz": "0.00001", "tickSz": "0.1", "state": "live"},
    ],
    "SWAP": [
        {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "baseCcy": "", "quoteCcy": "", "settleCcy": "USDT",
         "uly": "BTC-USDT", "ctVal": "0.01", "ctType": "linear", "lotSz": "1", "minSz": "1", "tickSz": "0.1",
         "state": "live"},
        {"instType": "SWAP", "instId": "BTC-USD-SWAP", "baseCcy": "", "quoteCcy": "", "settleCcy": "BTC",
         "uly": "BTC-USD", "ctVal": "100", "ctType": "inverse", "lotSz": "1", "minSz": "1", "tickSz": "0.1",
         "state": "suspend"},
    ],
    "FUTURES": [
        {"instType": "FUTURES", "instId": "BTC-USD-241227", "baseCcy": "", "quoteCcy": "", "settleCcy": "BTC",
         "uly": "BTC-USD", "ctVal": "100", "ctType": "inverse", "lotSz": "1", "minSz": "1", "tickSz": "0.1",
         "state": "live"},
        {"instType": "FUTURES", "instId": "SOMETHING-ELSE", "uly": "", "lotSz": "1", "minSz": "1", "tickSz": "0.1",
         "state": "live"},
    ],
}  # fmt: skip


def answered(items: list) -> str:
    return json.dumps({"code": "0", "msg": "", "data": items})


def listed(source: str = "ws", trades: str = "each") -> Okx:
    """A translator that knows its instruments."""
    okx = Okx(source, trades)
    for request in okx.instruments_requests():
        okx.answer(request, answered(LISTS[request.params["instType"]]), 1)
    return okx


def frame(channel: str, data, of: str = "BTC-USDT-SWAP", **more) -> bytes:
    name = "instType" if channel == "liquidation-orders" else "instId"
    return json.dumps({"arg": {"channel": channel, name: of}} | more | {"data": data}, separators=(",", ":")).encode()


def trade(identity: int = 130639474, channel: str = "trades-all", of: str = "BTC-USDT-SWAP", **changes) -> bytes:
    item = {"instId": of, "tradeId": str(identity), "px": "42219.9", "sz": "12", "side": "buy", "ts": str(T)}
    return frame(channel, [item | changes], of)


def book(
    prev: int, last: int, action: str = "update", bids=(("8476.97", "256", "0", "12"),), of: str = "BTC-USDT-SWAP"
) -> bytes:
    item = {"asks": [], "bids": bids, "ts": str(T), "checksum": 0, "prevSeqId": prev, "seqId": last}
    return frame("books", [item], of, action=action)


TICKER = {
    "last": "9999.99", "lastSz": "0.1", "askPx": "9999.99", "askSz": "11", "bidPx": "8888.88", "bidSz": "5",
    "open24h": "9000", "high24h": "10000", "low24h": "8888.88", "volCcy24h": "2222", "vol24h": "3333", "ts": str(T),
}  # fmt: skip


def ticker(of: str = "BTC-USDT-SWAP", **changes) -> bytes:
    return frame("tickers", [TICKER | {"instId": of} | changes], of)


def candle(confirm: str = "0", volume: str = "45247", bar: str = "1m", **changes) -> bytes:
    row = [str(T // 60000 * 60000), "8533.02", "8553.74", "8527.17", "8548.26", volume, "529.5", "5529.5", confirm]
    return frame(f"candle{bar}", [row])


FUNDING = {
    "fundingRate": "-0.0001875", "fundingTime": "1700726400000", "instType": "SWAP", "nextFundingRate": "",
    "nextFundingTime": "1700755200000", "ts": str(T),
}  # fmt: skip
INTEREST = {"instType": "SWAP", "oi": "2216113.01", "oiCcy": "22161.13", "oiUsd": "1939251795.54", "ts": str(T)}
MARK = {"instType": "SWAP", "markPx": "0.1", "ts": str(T)}


def liquidations(*details: dict, of: str = "BTC-USDT-SWAP") -> bytes:
    base = {"bkLoss": "0", "bkPx": "0.007831", "ccy": "", "posSide": "short", "side": "buy", "sz": "13", "ts": str(T)}
    item = {"details": [base | detail for detail in details], "instId": of, "instType": "SWAP"}
    return frame("liquidation-orders", [item], "SWAP")
