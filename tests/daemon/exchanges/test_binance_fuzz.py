"""Whatever bytes come, the translator gives well-formed events or MalformedFrame, and never anything else."""

import json
from collections.abc import Callable
from contextlib import contextmanager
from decimal import Decimal

import msgspec
import pytest
from binance_payloads import aggregate, combined, day, depth, kline, quote, raw, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from bus.events import Book, Candle, Ticker, Trade
from bus.frames import decode_frame, encode_events
from daemon.exchanges.base import FeedKey, Span
from daemon.exchanges.binance import Binance
from daemon.exchanges.binance_rest import SPOT

PAYLOADS: list[tuple[str, Callable[[], dict]]] = [
    ("trade", trade), ("aggTrade", aggregate), ("bookTicker", quote), ("ticker", day), ("depth@100ms", depth),
    ("kline_1m", kline),
]  # fmt: skip
FRAMES = [combined(f"bnbbtc@{stream}", build()) for stream, build in PAYLOADS] + [raw(build()) for _, build in PAYLOADS]
REQUESTS = [
    SPOT.depth("BNB/BTC", "BNBBTC"), *Binance().instruments_requests(),
]  # fmt: skip
SPAN = Span(1, 2**62, "1", "27781")
HISTORY = [
    Binance().history(FeedKey("BNB/BTC", "trade"), SPAN), Binance().history(FeedKey("BNB/BTC", "trade"), Span(1, 2)),
    Binance(trades="aggregate").history(FeedKey("BNB/BTC", "trade"), SPAN),
    Binance().history(FeedKey("BNB/BTC", "candle", "1m"), SPAN),
]  # fmt: skip
ANSWERS = [
    b'{"lastUpdateId":158,"bids":[["4.0","431.0"]],"asks":[["4.2","12.0"]]}',
    b'[{"id":1,"price":"4.0","qty":"12.0","quoteQty":"48.0","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]',
    b'[{"a":26129,"p":"0.01","q":"4.7","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}]',
    b'[[1499040000000,"0.016","0.8","0.015","0.0157","148976.1",1499644799999,"2434.1",308,"1756.8","28.4","0"]]',
    b'{"symbols":[{"symbol":"BNBBTC","status":"TRADING","baseAsset":"BNB","quoteAsset":"BTC","filters":[]}]}',
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from(["NaN", "1e400", "-1", "0", "0.0", "1e5", "\ud800", 2**63, 2**200, -(2**70), "٣"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def positive(*texts: str) -> bool:
    return all(Decimal(text).is_finite() and Decimal(text) > 0 for text in texts)


def amount(*texts: str) -> bool:
    return all(Decimal(text).is_finite() and Decimal(text) >= 0 for text in texts)


def well_formed(events: list) -> bool:
    """Every event survives the wire, and its numbers are what the contract promises."""
    frame, bad = decode_frame("s", "1-1", {b"v": b"1", b"seq": b"1", b"events": encode_events(events)})
    assert not bad
    assert frame.events == events
    for event in events:
        assert event.ts is None or 0 < event.ts < 2**63
        match event:
            case Trade():
                assert positive(event.price, event.amount)
            case Candle():
                assert positive(event.open, event.high, event.low, event.close)
                assert amount(event.volume)
            case Ticker():
                assert positive(*filter(None, (event.bid, event.ask, event.last, event.open, event.high, event.low)))
                assert amount(*filter(None, (event.bid_size, event.ask_size, event.volume, event.quote_volume)))
            case Book():
                for level in (*event.bids, *event.asks):
                    assert positive(level[0])
                    assert amount(level[1])
    return True


@contextmanager
def short_reason():
    """Let MalformedFrame pass, and nothing else; its reason has to fit a log line."""
    try:
        yield
    except MalformedFrame as error:
        if not 0 < len(str(error)) <= 200:
            raise


def survives(exchange: Binance, frame: bytes) -> None:
    with short_reason():
        assert well_formed(exchange.parse(frame, 1))
    while exchange.requests:
        assert well_formed(exchange.answer(exchange.requests.popleft(), ANSWERS[0], 2))


@given(st.binary() | st.text().map(str.encode))
def test_arbitrary_input(frame):
    survives(Binance(), frame)


@settings(max_examples=400)
@given(st.sampled_from(FRAMES), st.data())
def test_damaged_bytes(frame, data):
    damaged = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        cut = data.draw(st.integers(0, 3))
        damaged[at : at + cut] = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"[", b"0", b"-", b"e9"]))
        if not damaged:
            break
    exchange = Binance()
    exchange.parse(frame, 0)  # so that the damaged frame takes the quick way of a known stream
    exchange.requests.clear()
    survives(exchange, bytes(damaged))


@settings(max_examples=400)
@given(st.sampled_from(PAYLOADS), st.booleans(), st.data(), json_values)
def test_one_value_replaced(stream_and_build, wrap, data, value):
    stream, build = stream_and_build
    payload = build()
    inner = payload["k"] if stream.startswith("kline") and data.draw(st.booleans()) else payload
    inner[data.draw(st.sampled_from(sorted(inner)))] = value
    text = json.dumps({"stream": f"bnbbtc@{stream}", "data": payload} if wrap else payload)
    survives(Binance(), text.encode())


@given(json_values)
def test_arbitrary_json(value):
    survives(Binance(), json.dumps(value).encode())


@given(
    st.sampled_from(REQUESTS),
    st.sampled_from(ANSWERS) | st.binary() | json_values.map(lambda v: json.dumps(v).encode()),
)
def test_arbitrary_answers(request_, body):
    exchange = Binance()
    exchange.parse(raw(depth()), 1)
    with short_reason():
        assert well_formed(exchange.answer(request_, body, 2))


@given(
    st.sampled_from(HISTORY),
    st.sampled_from(ANSWERS) | st.binary() | json_values.map(lambda v: json.dumps(v).encode()),
)
def test_arbitrary_pages_of_history(request_, body):
    with short_reason():
        assert well_formed(Binance().page(request_, body, 2).events)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":[', b'{"stream":"x","data":['])
@pytest.mark.parametrize("count", [500, 5_000, 500_000])
def test_deep_nesting(opening, count):
    with pytest.raises(MalformedFrame):
        Binance().parse(opening * count, 1)


def test_deep_but_complete_nesting_is_survived():
    for count in (100, 900, 1_100, 20_000):
        survives(Binance(), b"[" * count + b"]" * count)
        survives(Binance(), b'{"e":"trade","x":' + b"[" * count + b"]" * count + b"}")
        survives(Binance(), b'{"stream":"a@trade","data":' + b'{"e":' * count + b"1" + b"}" * count + b"}")


def test_msgspec_is_what_the_translator_was_written_for():
    """A number too long for Python's own parser must not leave as ValueError either."""
    assert issubclass(msgspec.ValidationError, msgspec.MsgspecError)
    with pytest.raises(MalformedFrame):
        Binance().parse(b"[" + b"9" * 100_000 + b"e" + b"9" * 100_000 + b"]", 1)
