"""Whatever bytes come from an exchange, they become well-formed events or MalformedFrame, and never anything else."""

import json
from decimal import Decimal

import bybit_payloads as bybit
import coinbase_payloads as coinbase
import kraken_payloads as kraken
import okx_payloads as okx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from bus.frames import decode_frame, encode_events
from daemon.exchanges.base import FeedKey, Span

FRAMES = {
    "bybit": [
        bybit.trade(), bybit.book(1, "snapshot"), bybit.book(2), bybit.book(3, "snapshot", "orderbook.1.BTCUSDT"),
        bybit.tickers(**bybit.FULL), bybit.tickers("delta", lastPrice="1"), bybit.kline(), bybit.liquidations({}, {}),
        b'{"success":true,"ret_msg":"pong","op":"ping"}',
    ],
    "coinbase": [
        coinbase.book(0, asks=[("21922", "1")], kind="snapshot"), coinbase.book(1), coinbase.trades(2),
        coinbase.trades(3, coinbase.item(7), coinbase.item(8), kind="snapshot"), coinbase.ticker(4),
        coinbase.candles(5), coinbase.candles(6, coinbase.bar(), coinbase.bar(1688998500)), coinbase.heartbeat(7),
        b'{"type":"error","message":"x"}',
    ],
    "kraken": [
        kraken.book([("5.1", "2"), ("5.0", "1.50")], [("5.2", "0.3")], None, "snapshot"),
        kraken.book([("5.1", "2.0")], (), kraken.checksum([("5.1", "2.0"), ("5.0", "1.50")], [("5.2", "0.3")])),
        kraken.book((), [("5.2", "0.00")], kraken.checksum([("5.1", "2.0"), ("5.0", "1.50")], [])),
        kraken.trade(), kraken.trade(7, "snapshot"), kraken.ticker(), kraken.ohlc(),
        kraken.ohlc(kraken.ohlc_item("1"), kind="snapshot"), b'{"channel":"heartbeat"}',
        b'{"error":"x","method":"subscribe","success":false,"req_id":1}',
    ],
    "okx": [
        okx.trade(), okx.trade(channel="trades"), okx.book(-1, 1, "snapshot"), okx.book(1, 2), okx.ticker(),
        okx.candle(), okx.frame("funding-rate", [okx.FUNDING]), okx.frame("open-interest", [okx.INTEREST]),
        okx.frame("mark-price", [okx.MARK]), okx.liquidations({}, {}), b'{"event":"error","code":"1","msg":"x"}',
    ],
}  # fmt: skip
MAKE = {"bybit": bybit.listed, "coinbase": coinbase.listed, "kraken": kraken.listed, "okx": okx.listed}
ANSWERS = [
    bybit.answered(bybit.LISTS["linear"], "linear"), okx.answered(okx.LISTS["SWAP"]),
    bybit.answered([{"execId": "1", "price": "1", "size": "1", "side": "Buy", "time": "5"}]),
    bybit.answered([["1670608800000", "1", "1", "1", "1", "1", "1"]]),
    bybit.answered([{"fundingRate": "0.1", "fundingRateTimestamp": "5"}]),
    okx.answered([{"tradeId": "7", "px": "1", "sz": "1", "side": "buy", "ts": "5"}]),
    okx.answered([["5", "1", "1", "1", "1", "1", "1", "1", "1"]]),
    okx.answered([{"realizedRate": "0.1", "fundingTime": "5"}]),
    kraken.answered(kraken.PAIRS),
    kraken.answered({"X": [["5.1", "1", 1688669597.8277369, "b", "m", "", 7]], "last": "9"}),
    kraken.answered({"X": [[1688671200, "3", "4", "2", "3", "3", "1.5", 23]], "last": 9}),
    json.dumps({"products": coinbase.PRODUCTS}), json.dumps({"trades": [coinbase.item(7)]}),
    json.dumps({"candles": [coinbase.bar()]}),
]  # fmt: skip
SYMBOL = {"bybit": "BTC/USDT:USDT", "coinbase": "BTC/USD", "kraken": "BTC/USD", "okx": "BTC/USDT:USDT"}
HISTORIES = [("trade", ""), ("funding", ""), ("candle", "1m")]
POSITIVE = {"price", "bid", "ask", "last", "open", "high", "low", "close", "mark", "index"}
NOT_NEGATIVE = {"amount", "bid_size", "ask_size", "volume", "quote_volume", "value"}

odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["NaN", "Infinity", "1e400", "-1", "0", "0.0", "1e5", "1_0", " 1", ".", "1.2.3", "٣", "", "1,2"]),
    st.sampled_from([2**63, 2**200, -(2**70), 0, -1, [], {}, [["1"]], [["0", "1"]], [["1", "-1"]]]),
)  # fmt: skip


def assert_sound(events: list) -> None:
    """Every event survives the wire, and its numbers are what the contract promises."""
    frame, bad = decode_frame("s", "1-1", {b"v": b"1", b"seq": b"1", b"events": encode_events(events)})
    assert not bad
    assert frame.events == events
    for event in events:
        assert event.ts is None or 0 < event.ts < 2**63
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if value is not None and name in POSITIVE:
                assert Decimal(value).is_finite()
                assert Decimal(value) > 0
            if value is not None and name in NOT_NEGATIVE:
                assert Decimal(value).is_finite()
                assert Decimal(value) >= 0
        for price, amount in [*getattr(event, "bids", ()), *getattr(event, "asks", ())]:
            assert Decimal(price) > 0 <= Decimal(amount)


def offer(translator, frame: bytes) -> None:
    """Give a frame twice: what it leaves behind must not harm what comes after."""
    for recv in (5, 500):
        try:
            events = translator.parse(frame, recv, 2)
        except MalformedFrame:
            continue
        assert_sound(events)


@pytest.mark.parametrize("name", sorted(MAKE))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_cut_and_garbled_frames(name, data):
    frame = bytearray(data.draw(st.sampled_from(FRAMES[name])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(frame) - 1))
        if data.draw(st.booleans()):
            frame[place] = data.draw(st.integers(0, 255))
        else:
            del frame[place : place + data.draw(st.integers(1, 20))]
        if not frame:
            break
    offer(MAKE[name]("replay"), bytes(frame))


def places(value, path=()):
    """The path of every value inside a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def changed(value, path, new):
    """A copy with another value at a path; `...` takes the value out."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


def spoiled(data, text: bytes | str) -> str:
    """A frame or answer with one value that is missing or odd."""
    value = json.loads(text)
    path = data.draw(st.sampled_from([path for path in places(value) if path]))
    return json.dumps(changed(value, path, data.draw(odd_values | st.just(...))))


@pytest.mark.parametrize("name", sorted(MAKE))
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_odd_values(name, data):
    translator = MAKE[name]("replay")
    for frame in FRAMES[name]:  # routes and state of a running translator
        offer(translator, frame)
    offer(translator, spoiled(data, data.draw(st.sampled_from(FRAMES[name]))).encode())
    for frame in FRAMES[name]:
        offer(translator, frame)


@pytest.mark.parametrize("name", sorted(MAKE))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_odd_answers(name, data):
    translator = MAKE[name]()
    body = data.draw(st.sampled_from(ANSWERS) | st.text(max_size=20))
    if body in ANSWERS:
        body = spoiled(data, body)
    for request in translator.instruments_requests():
        try:
            translator.answer(request, body, 5)
        except MalformedFrame:
            continue
    translator = MAKE[name]()
    feeds = [FeedKey(SYMBOL[name], *history) for history in HISTORIES]
    for request in filter(None, [translator.polls(feed) for feed in feeds]):
        try:
            assert_sound(translator.answer(request, body, 5))
        except MalformedFrame:
            continue
    for request in filter(None, [translator.history(feed, Span(1, 2**62)) for feed in feeds]):
        try:
            page = translator.page(request, body, 5)
        except MalformedFrame:
            continue
        assert_sound(page.events)
    assert translator.standing(200, {}, body.encode(errors="replace"), 1).outcome in {
        "ok",
        "refused",
        "failed",
        "limited",
        "banned",
    }
