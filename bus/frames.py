"""Frames: how several events of one stream become one Redis Streams entry, and back.

Fields of an entry: `v` = 1; `seq` = contiguous frame number of the stream (a jump means that frames were lost);
`n` = number of events; `events` = msgpack array of maps.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from bus.errors import Poison
from bus.events import Event

VERSION: Final = 1
MAX_EVENTS: Final = 512
"""The most events in one frame."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])
_raw_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)

encode_events = _encoder.encode
"""Events → the bytes of the `events` field."""
decode_events = _decoder.decode
"""The bytes of the `events` field → events. Raises msgspec.DecodeError."""


class Frame(msgspec.Struct, frozen=True):
    """One entry of a stream, decoded."""

    stream: str
    entry: str
    """The entry's id in the stream, `ms-n`."""
    seq: int
    events: list[Event]
    places: Sequence[int] | None = None
    """Where each event stood in the entry, None where all of them could be decoded."""


class Undecodable(msgspec.Struct, frozen=True):
    """One event inside a frame that is not in the vocabulary: where it stood, why, and its bytes."""

    index: int
    reason: str
    payload: bytes


def decode_frame(stream: str, entry: str, fields: Mapping[bytes, bytes]) -> tuple[Frame, list[Undecodable]]:
    """Decode an entry; what cannot be decoded is handed back beside the events that can.

    Raises Poison when the entry is no frame at all.
    """
    try:
        version, seq, payload = int(fields[b"v"]), int(fields[b"seq"]), fields[b"events"]
    except (KeyError, ValueError) as error:
        raise Poison(f"entry {entry} of {stream} is no frame: {error!r}") from error
    if version != VERSION:
        raise Poison(f"entry {entry} of {stream} has frame version {version}; this marketd reads {VERSION}")
    try:
        return Frame(stream, entry, seq, _decoder.decode(payload)), []
    except msgspec.DecodeError:
        return _decode_singly(stream, entry, seq, payload)


def _decode_singly(stream: str, entry: str, seq: int, payload: bytes) -> tuple[Frame, list[Undecodable]]:
    try:
        raws: Sequence[msgspec.Raw] = _raw_decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise Poison(f"entry {entry} of {stream} holds no msgpack array: {error}") from error
    events: list[Event] = []
    places: list[int] = []
    bad: list[Undecodable] = []
    for index, raw in enumerate(raws):
        try:
            events.append(_event_decoder.decode(raw))
        except msgspec.DecodeError as error:
            bad.append(Undecodable(index, str(error), bytes(raw)))
        else:
            places.append(index)
    return Frame(stream, entry, seq, events, places), bad
