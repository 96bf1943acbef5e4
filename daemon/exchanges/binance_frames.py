"""What kind of frame Binance sent, and which decoder reads it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from daemon.exchanges import binance_messages as messages
from daemon.exchanges.base import Notice
from daemon.exchanges.decimals import SIDE, Dotted, Number, check_levels

PREFIX: Final = b'{"stream":"'
"""How a combined frame begins; the stream's name follows."""
PREFIX_LENGTH: Final = len(PREFIX)


DIGITS: Final = b"0123456789"
"""A frame without these is its form. Frames of one form differ in nothing but digits: where one has a plain decimal
with a dot, all have digits and one dot, and where one has a whole number, all have digits or nothing."""
AMOUNTS: Final[Mapping[str, Callable[[Any], tuple[str, ...]]]] = {
    "trade": lambda m: (m.q,),
    "aggTrade": lambda m: (m.q,),
    "bookTicker": lambda m: (m.B, m.A),
}
"""The amounts of the messages that come very often and are short, by event type."""

Decode: TypeAlias = Callable[[bytes], Any]

_sound: Final = re.compile(rf'[^[]++(?<="b":){SIDE},"a":{SIDE}[^][]*+'.encode()).fullmatch
"""A book message with sound levels alone: `check_levels` takes twice as long."""


class Decoders:
    """Typed decoders by event type, of raw frames and of combined ones; they raise MsgspecError and MalformedFrame.

    `dotted` and `whole` are for frames of a known form: with prices that have a dot, and amounts that have one or none.
    """

    def __init__(self, kinds: Mapping[str, Any], frequent: Mapping[str, Any]) -> None:
        """`kinds`: the message of each event type; `frequent`: likewise, generic in how prices and amounts look."""
        kinds = {**kinds, **{kind: message[Number, Number] for kind, message in frequent.items()}}
        self.plain: dict[str, Decode] = {kind: msgspec.json.Decoder(message).decode for kind, message in kinds.items()}
        self.combined = _combined(kinds)
        self.plain["depthUpdate"] = _checked(self.plain["depthUpdate"], lambda book: book)
        self.combined["depthUpdate"] = _checked(self.combined["depthUpdate"], lambda combined: combined.data)
        self.dotted = _combined({kind: message[Dotted, Dotted] for kind, message in frequent.items()})
        self.whole = _combined({kind: message[Dotted, Number] for kind, message in frequent.items()})


def _combined(kinds: Mapping[str, Any]) -> dict[str, Decode]:
    return {
        kind: msgspec.json.Decoder(messages.Combined[message]).decode  # type: ignore[valid-type] # only at run time
        for kind, message in kinds.items()
    }


def _checked(decode: Decode, book_of: Callable[[Any], Any]) -> Decode:
    """Return what decodes a book message and checks its levels; `book_of` takes the book out of the message."""

    def checked(raw: bytes) -> Any:
        message = decode(raw)
        if _sound(raw) is None:
            book = book_of(message)
            check_levels(book.b, book.a)
        return message

    return checked


SPOT: Final = Decoders(
    {
        "24hrTicker": messages.DayTickerMessage,
        "depthUpdate": messages.DepthMessage,
        "kline": messages.KlineMessage,
    },
    {
        "trade": messages.TradeMessage,
        "aggTrade": messages.AggregateTradeMessage,
        "bookTicker": messages.BookTickerMessage,
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
