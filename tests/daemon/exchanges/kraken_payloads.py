"""What Kraken sends, as its documentation shows it; every builder takes what differs.

Numbers are written as they are given: Kraken's digits count, trailing zeros included.
"""

import json

from daemon.exchanges.kraken import Kraken
from daemon.exchanges.kraken_book import KrakenBook

T = "2023-10-06T17:35:55.440295Z"
NS = 1696613755440295000

PAIRS = {
    "XXBTZUSD": {
        "altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "pair_decimals": 1,
        "lot_decimals": 8, "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
    },
    "XDGUSD": {
        "altname": "XDGUSD", "wsname": "XDG/USD", "base": "XXDG", "quote": "ZUSD", "pair_decimals": 7,
        "lot_decimals": 8, "ordermin": "13", "status": "cancel_only",
    },
    "MATICUSD": {
        "altname": "MATICUSD", "wsname": "MATIC/USD", "base": "MATIC", "quote": "ZUSD", "pair_decimals": 4,
        "lot_decimals": 8, "ordermin": "10", "costmin": "0.5", "tick_size": "0.0001", "status": "online",
    },
    "XBTUSD.d": {
        "altname": "XBTUSD.d", "base": "XXBT", "quote": "ZUSD", "pair_decimals": 1, "lot_decimals": 8,
    },
}  # fmt: skip


def answered(result) -> str:
    return json.dumps({"error": [], "result": result})


def listed(source: str = "ws") -> Kraken:
    """A translator that knows its pairs."""
    kraken = Kraken(source)
    (request,) = kraken.instruments_requests()
    kraken.answer(request, answered(PAIRS), 1)
    return kraken


def frame(channel: str, *data: str, kind: str = "update", **more: str) -> bytes:
    rest = "".join(f',"{name}":"{value}"' for name, value in more.items())
    return f'{{"channel":"{channel}","type":"{kind}"{rest},"data":[{",".join(data)}]}}'.encode()


def side(levels) -> str:
    return ",".join(f'{{"price":{price},"qty":{amount}}}' for price, amount in levels)


def checksum(bids, asks) -> int:
    """The CRC32 of a book that has these levels alone."""
    book = KrakenBook()
    book.bids.reset(bids)
    book.asks.reset(asks)
    return book.checksum()


def book(
    bids=(), asks=(), crc: int | None = None, kind: str = "update", symbol: str = "BTC/USD", time: str = T
) -> bytes:
    check = "" if crc is None else f'"checksum":{crc},'
    item = f'{{"symbol":"{symbol}","bids":[{side(bids)}],"asks":[{side(asks)}],{check}"timestamp":"{time}"}}'
    return frame("book", item, kind=kind)


def trade(identity: int = 4665906, kind: str = "update", price: str = "0.5117", symbol: str = "BTC/USD") -> bytes:
    return frame("trade", trade_item(identity, price, symbol), kind=kind)


def trade_item(identity: int, price: str = "0.5117", symbol: str = "BTC/USD") -> str:
    return (
        f'{{"symbol":"{symbol}","side":"sell","price":{price},"qty":40.0,"ord_type":"market","trade_id":{identity},'
        f'"timestamp":"{T}"}}'
    )


def ticker(bid: str = "0.10025", last: str = "0.10035", time: str = T, symbol: str = "BTC/USD") -> bytes:
    item = (
        f'{{"symbol":"{symbol}","bid":{bid},"bid_qty":740.0,"ask":0.10035,"ask_qty":740.0,"last":{last},'
        f'"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17,'
        f'"timestamp":"{time}"}}'
    )
    return frame("ticker", item)


def ohlc_item(volume: str = "30927.68066226", begin: str = "2023-10-04T16:25:00.000000000Z", minutes: int = 5) -> str:
    return (
        f'{{"symbol":"BTC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,'
        f'"volume":{volume},"vwap":0.5626,"interval_begin":"{begin}","interval":{minutes},"timestamp":"{T}"}}'
    )


def ohlc(*items: str, kind: str = "update") -> bytes:
    return frame("ohlc", *(items or (ohlc_item(),)), kind=kind, timestamp="2023-10-04T16:26:30.524394914Z")
