"""Which of Coinbase's frames carry no market data, and what is sent to Coinbase."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from daemon.exchanges.base import Notice

HEARTBEATS: Final = '{"type":"subscribe","channel":"heartbeats"}'
"""Asks for a message every second: without any, "most channels close within 60-90 seconds"."""
_CONTROL: Final = frozenset({"heartbeats", "subscriptions"})


def requests(kind: str, streams: Sequence[str]) -> list[str]:
    """Return the messages that subscribe to streams or end them, one for each channel; `level2:BTC-USD` is a stream.

    {"type":"subscribe","product_ids":["ETH-USD","ETH-EUR"],"channel":"level2"}
    """
    messages: list[str] = []
    for channel, named in groupby(sorted(streams), key=lambda stream: stream.partition(":")[0]):
        products = [stream.partition(":")[2] for stream in named]
        messages.append(msgspec.json.encode({"type": kind, "product_ids": products, "channel": channel}).decode())
    return messages


def notice(value: Any) -> Notice:
    """Say what a frame is that carries no market data.

    {"channel":"subscriptions",…,"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}; {"channel":"heartbeats",…,
    "events":[{"current_time":"2023-06-23 20:31:56.121961769 +0000 UTC …","heartbeat_counter":"3049"}]};
    {"type":"error","message":"channel tickers does not exist"}
    """
    if isinstance(value, dict) and value.get("type") == "error":
        return Notice("refused", str(value.get("message"))[:500])
    channel = value.get("channel") if isinstance(value, dict) else None
    if not isinstance(channel, str):
        return Notice("unknown", msgspec.json.encode(value).decode()[:100])
    if channel in _CONTROL:
        return Notice("control", msgspec.json.encode(value.get("events")).decode()[:500])
    return Notice("unknown", channel[:100])
