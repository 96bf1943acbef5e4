"""Frames: what one stream entry holds, as other programs see it with the plain msgpack package."""

import msgpack
import pytest

from bus.errors import Poison
from bus.events import Trade
from bus.frames import decode_frame, encode_events

TRADE = Trade("binance", "BTC/USDT", 1, 2, "ws", "7", "61837.63000000", "0.02000000", "buy")


def fields(events: bytes, *, version: bytes = b"1") -> dict[bytes, bytes]:
    return {b"v": version, b"seq": b"4", b"n": b"1", b"events": events}


def test_an_event_is_a_plain_map_for_any_msgpack_reader():
    assert msgpack.unpackb(encode_events([TRADE])) == [
        {
            "type": "trade", "exchange": "binance", "symbol": "BTC/USDT", "ts": 1, "recv": 2, "source": "ws",
            "id": "7", "price": "61837.63000000", "amount": "0.02000000", "side": "buy",
        }
    ]  # fmt: skip


def test_what_another_program_packs_is_read_back():
    packed = msgpack.packb(msgpack.unpackb(encode_events([TRADE])))
    frame, bad = decode_frame("md:binance:trade", "5-1", fields(packed))
    assert (frame.entry, frame.seq, frame.events, bad) == ("5-1", 4, [TRADE], [])


def test_an_unknown_event_is_handed_back_and_its_neighbours_are_kept():
    packed = msgpack.packb([{"type": "nonsense"}, msgpack.unpackb(encode_events([TRADE]))[0]])
    frame, bad = decode_frame("md:binance:trade", "5-1", fields(packed))
    assert frame.events == [TRADE]
    assert frame.places == [1]
    assert [(b.index, msgpack.unpackb(b.payload)) for b in bad] == [(0, {"type": "nonsense"})]


@pytest.mark.parametrize("entry", [{}, fields(b"\xc1"), fields(b"", version=b"2"), fields(b"\x81\xa1a\x01")])
def test_what_is_no_frame_is_poison(entry):
    with pytest.raises(Poison):
        decode_frame("md:binance:trade", "5-1", entry)
