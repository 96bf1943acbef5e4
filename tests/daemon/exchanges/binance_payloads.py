"""Frames for tests, in the form that Binance's documentation shows."""

import json
from itertools import count

from daemon.exchanges.binance import Binance

E = 1672515782136


def combined(stream: str, payload: dict) -> bytes:
    return json.dumps({"stream": stream, "data": payload}, separators=(",", ":")).encode()


def raw(payload: dict) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def trade(identity: int = 12345, **changes) -> dict:
    base = {
        "e": "trade", "E": E, "s": "BNBBTC", "t": identity, "p": "0.001", "q": "100", "T": E - 1, "m": True, "M": True,
    }  # fmt: skip
    return base | changes


def aggregate(identity: int = 12345, **changes) -> dict:
    base = {
        "e": "aggTrade", "E": E, "s": "BNBBTC", "a": identity, "p": "0.001", "q": "100", "f": 100, "l": 105,
        "T": E - 1, "m": False, "M": True,
    }  # fmt: skip
    return base | changes


def quote(u: int = 400900217, **changes) -> dict:
    base = {"u": u, "s": "BNBBTC", "b": "25.35190000", "B": "31.21000000", "a": "25.36520000", "A": "40.66000000"}
    return base | changes


def day(**changes) -> dict:
    base = {
        "e": "24hrTicker", "E": E, "s": "BNBBTC", "p": "0.0015", "P": "250.00", "w": "0.0018", "x": "0.0009",
        "c": "0.0025", "Q": "10", "b": "0.0024", "B": "10", "a": "0.0026", "A": "100", "o": "0.0010", "h": "0.0026",
        "l": "0.0009", "v": "10000", "q": "18", "O": 0, "C": 86400000, "F": 0, "L": 18150, "n": 18151,
    }  # fmt: skip
    return base | changes


def depth(first: int = 157, last: int = 160, **changes) -> dict:
    base = {
        "e": "depthUpdate", "E": E, "s": "BNBBTC", "U": first, "u": last,
        "b": [["0.0024", "10"]], "a": [["0.0026", "100"]],
    }  # fmt: skip
    return base | changes


def kline(event_time: int = E, **changes) -> dict:
    candle = {
        "t": 1672515780000, "T": 1672515839999, "s": "BNBBTC", "i": "1m", "f": 100, "L": 200, "o": "0.0010",
        "c": "0.0020", "h": "0.0025", "l": "0.0015", "v": "1000", "n": 100, "x": False, "q": "1.0000", "V": "500",
        "Q": "0.500", "B": "123456",
    }  # fmt: skip
    return {"e": "kline", "E": event_time, "s": "BNBBTC", "k": candle | changes}


def book_answer(last_id: int, bids: list | None = None, asks: list | None = None) -> bytes:
    bids = [["0.0023", "5"]] if bids is None else bids
    asks = [["0.0027", "7"]] if asks is None else asks
    return json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}).encode()


class Feeder:
    """Feeds payloads to one translator, a nanosecond apart."""

    def __init__(self, exchange: Binance | None = None) -> None:
        self.exchange = exchange or Binance()
        self.recv = count(1)

    def __call__(self, payload: dict) -> list:
        return self.exchange.parse(raw(payload), next(self.recv))

    def answer(self, body: bytes) -> list:
        """Answer the one request that is waiting."""
        (request,) = self.exchange.requests
        self.exchange.requests.clear()
        return self.exchange.answer(request, body, next(self.recv))
