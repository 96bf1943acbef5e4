"""Which of Kraken's frames carry no market data, and what is sent to Kraken."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from daemon.exchanges.base import Notice
from daemon.exchanges.kraken_book import DEPTH

PING: Final = '{"method":"ping"}'
"""https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ping"""

_PARAMS: Final[dict[str, dict[str, Any]]] = {
    "trade": {"channel": "trade"},
    "ticker": {"channel": "ticker", "event_trigger": "bbo"},
    "book": {"channel": "book", "depth": DEPTH},
}
"""What a subscription says beside its symbols. Without `bbo` tickers come with trades alone."""


def requests(method: str, streams: Sequence[str], message_id: int) -> list[str]:
    """Return the messages that subscribe to streams or end them, one for each channel; `trade:BTC/USD` is a stream.

    {"method":"subscribe","params":{"channel":"trade","symbol":["MATIC/USD"],"snapshot":true},"req_id":79}
    """
    messages: list[str] = []
    for name, named in groupby(sorted(streams), key=lambda stream: stream.partition(":")[0]):
        channel, _, minutes = name.partition("-")
        params = {**_PARAMS[channel]} if channel in _PARAMS else {"channel": channel, "interval": int(minutes)}
        params["symbol"] = [stream.partition(":")[2] for stream in named]
        if method == "subscribe":
            params["snapshot"] = True
        message = {"method": method, "params": params, "req_id": message_id}
        messages.append(msgspec.json.encode(message).decode())
    return messages


def notice(value: Any) -> Notice:
    """Say what a frame is that carries no market data.

    {"channel":"heartbeat"}; {"channel":"status","type":"update","data":[{"system":"online","api_version":"v2",…}]};
    {"method":"pong","req_id":101,…}; {"method":"subscribe","result":{"channel":"ticker","symbol":"ALGO/USD",…},
    "success":true,…}; {"error":"Currency pair not supported XBT/EURO","method":"subscribe","req_id":42,
    "success":false,"symbol":"XBT/EURO",…}
    """
    if not isinstance(value, dict):
        return Notice("unknown", msgspec.json.encode(value).decode()[:100])
    if str(value.get("channel")) in {"heartbeat", "status"}:
        return Notice("control", msgspec.json.encode(value.get("data", "heartbeat")).decode()[:500])
    if "method" not in value and "error" not in value:
        return Notice("unknown", msgspec.json.encode(value.get("channel", value)).decode()[:100])
    error = value.get("error")
    if error is None or value.get("method") == "unsubscribe" or "Already subscribed" in str(error):
        return Notice("control", msgspec.json.encode(value).decode()[:500])
    number = value.get("req_id")
    said = " ".join(str(part) for part in (error, value.get("symbol")) if part is not None)
    return Notice("refused", said[:500], number if type(number) is int else None)
