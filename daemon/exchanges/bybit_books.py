"""Bybit's book messages: what they look like, and how their levels are checked.

https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Struct

from daemon.exchanges.bybit_messages import Id, Time
from daemon.exchanges.decimals import SIDE, Levels, check_levels


class BookData(Struct, gc=False):
    """The levels of an orderbook message."""

    b: Levels
    a: Levels
    u: Id


class BookMessage(Struct, gc=False):
    """`orderbook.{depth}.{symbol}`. `cts`: when the matching engine produced it; `ts`: when it was sent.

    {"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20",
    "30.028"],["30245.40","0"]],"a":[["30248.70","0"]],"u":177400507,"seq":66544703342},"cts":1687940967464}
    """

    type: Literal["snapshot", "delta"]
    ts: Time
    data: BookData
    cts: Time | None = None


_sound: Final = re.compile(
    r'\{"topic":"orderbook\.[0-9]++\.[A-Z0-9-]++","type":"(?:delta|snapshot)","ts":[0-9]++,"data":'
    rf'\{{"s":"[A-Z0-9-]++","b":{SIDE},"a":{SIDE},"u":[0-9]++,"seq":[0-9]++\}},"cts":[0-9]++\}}'.encode()
).fullmatch
"""The usual form, in which all are plain decimals and all prices above 0: `check_levels` takes twice as long."""
_decode: Final = msgspec.json.Decoder(BookMessage).decode


def read(raw: bytes) -> BookMessage:
    """Return a message whose levels are checked to be plain decimals. Raises MalformedFrame, msgspec.MsgspecError."""
    message = _decode(raw)
    if _sound(raw) is None:
        check_levels(message.data.b, message.data.a)
    return message
