"""What kind of frame Binance sent, and which decoder reads it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from daemon.exchanges import binance_messages as messages
from daemon.exchanges.base import Notice
from daemon.exchanges.decimals import Dotted, Number

PREFIX: Final = b'{"stream":"'
"""How a combined frame begins; the stream's name follows."""
PREFIX_LENGTH: Final = len(PREFIX)


DIGITS: Final = b"0123456789"
"""A frame without these is its form. Frames of one form differ in nothing but digits: where one has a plain decimal
with a dot, all have digits and one dot."""
LEVEL: Final = b'[".","."],'
"""A level in a book's form, which is left out of it: but for the last one of a side, any number of them may come."""


class Decoders:
    """Typed decoders by event type, of raw frames and of combined ones; `dotted` is for frames of a known form."""

    def __init__(self, kinds: Mapping[str, Any], frequent: Mapping[str, Any]) -> None:
        """`kinds`: the message of each event type; `frequent`: likewise, generic in how their decimals look."""
        kinds = {**kinds, **{kind: message[Number] for kind, message in frequent.items()}}
        self.dotted: dict[str, msgspec.json.Decoder[messages.Combined[Any]]] = {
            kind: msgspec.json.Decoder(messages.Combined[message[Dotted]])  # type: ignore[valid-type] # as below
            for kind, message in frequent.items()
        }
        self.plain = {kind: msgspec.json.Decoder(message) for kind, message in kinds.items()}
        self.combined: dict[str, msgspec.json.Decoder[messages.Combined[Any]]] = {
            kind: msgspec.json.Decoder(messages.Combined[message])  # type: ignore[valid-type] # a type only at run time
            for kind, message in kinds.items()
        }


SPOT: Final = Decoders(
    {"24hrTicker": messages.DayTickerMessage, "kline": messages.KlineMessage},
    {
        "trade": messages.TradeMessage,
        "aggTrade": messages.AggregateTradeMessage,
        "bookTicker": messages.BookTickerMessage,
        "depthUpdate": messages.DepthMessage,
    },
)
_KIND_BY_STREAM: Final = {
    "trade": "trade",
    "aggTrade": "aggTrade",
    "bookTicker": "bookTicker",
    "ticker": "24hrTicker",
    "depth": "depthUpdate",
    "depth@100ms": "depthUpdate",
    **{f"kline_{timeframe}": "kline" for timeframe in messages.TIMEFRAMES},
}


def kind_of(stream: str, payload: Any) -> str:
    """Return the event type of a payload: what it says itself, else what its stream or its fields say, else ""."""
    if not isinstance(payload, dict):
        return ""
    named = payload.get("e")
    if isinstance(named, str):
        return named
    by_stream = _KIND_BY_STREAM.get(stream.partition("@")[2], "")
    return by_stream or ("bookTicker" if "u" in payload and "s" in payload else "")


def notice_of(kind: str, payload: Any) -> Notice:
    """Say what a frame is that carries no market data.

    {"result":null,"id":1}; {"code":2,"msg":"Invalid request: …"}; {"error":{"code":2,"msg":"…"},"id":1};
    {"e":"serverShutdown","E":1770123456789}: sections "Live Subscribing", "Error Messages" and "Server Shutdown" of
    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
    """
    if kind == "serverShutdown":
        return Notice("reconnect", "the server is about to shut down")
    if isinstance(payload, dict) and not kind:
        if payload.get("error") is not None or ("code" in payload and "msg" in payload):
            number = payload.get("id")
            text = msgspec.json.encode(payload.get("error") or payload).decode()[:500]
            return Notice("refused", text, number if type(number) is int else None)
        if "result" in payload:
            return Notice("control", msgspec.json.encode(payload).decode()[:500])
    return Notice("unknown", kind[:100] or msgspec.json.encode(payload).decode()[:100])
