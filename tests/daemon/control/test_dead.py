"""Which dead letters may come to the bus again, and how."""

import msgspec
import pytest

from bus.errors import Poison
from bus.events import Book, Event, Feed, Gap, Trade
from bus.frames import encode_events
from daemon.control.dead import revived

HEAD = ("binance", "BTC/USDT", 1, 2, "ws")
TRADE = Trade(*HEAD, "7", "1.50", "2", "buy")
GAP = Gap(3, "g", "binance", "BTC/USDT", "trade", 1, 2, "1", "2", "open", "")


def test_market_events_come_as_late_ones_and_gaps_as_they_were():
    late = msgspec.structs.replace(TRADE, source="backfill")
    assert revived("persistence", msgspec.msgpack.encode(TRADE)) == [late]
    assert revived("persistence", encode_events([TRADE, GAP])) == [late, GAP]


@pytest.mark.parametrize(
    ("handler", "payload", "reason"),
    [
        ("parse", b'{"e":"trade"', "gap.retry"),
        ("gaps", b"\xc1", "cannot read it"),
        ("persistence", Book(*HEAD, "delta", [("1", "2")], []), "a book event"),
        ("gaps", Feed(1, "binance", "*", "*", "down"), "a feed event"),
    ],
)
def test_what_would_mislead_others_stays_where_it_is(handler: str, payload: bytes | Event, reason: str):
    raw = payload if isinstance(payload, bytes) else msgspec.msgpack.encode(payload)
    with pytest.raises(Poison, match=reason):
        revived(handler, raw)
