"""What goes into paper trading and what comes out of it, as bytes: the words of its journal."""

from typing import Final, TypeAlias

import msgspec

from bus.events import Book, MarkPrice, Ticker, Trade
from bus.paper import AnyPaperEvent, PaperCommand
from handlers.paper.instrument import InstrumentSpec


class Listed(msgspec.Struct, frozen=True, tag_field="type", tag="listed"):
    """A symbol can be traded from here on."""

    exchange: str
    spec: InstrumentSpec


class Passed(msgspec.Struct, frozen=True, tag_field="type", tag="passed"):
    """Nothing came, and it is `ts` (ns) now."""

    ts: int


class Lost(msgspec.Struct, frozen=True, tag_field="type", tag="lost"):
    """A feed has ended or fallen silent at `ts` (ns); `symbol` "*" for all of an exchange's."""

    ts: int
    exchange: str
    symbol: str
    channel: str


Input: TypeAlias = Trade | Book | Ticker | MarkPrice | PaperCommand | Listed | Passed | Lost
"""Everything that changes paper trading, in the order in which it was taken in."""

_encoder: Final = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Inputs or outputs → bytes."""
decode_inputs: Final = msgspec.msgpack.Decoder(list[Input]).decode
"""Bytes → inputs. Raises msgspec.DecodeError."""
decode_outputs: Final = msgspec.msgpack.Decoder(list[AnyPaperEvent]).decode
"""Bytes → outputs. Raises msgspec.DecodeError."""
