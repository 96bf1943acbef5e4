"""Each exchange's frames with every value made odd in turn: well-formed events, or MalformedFrame."""

import json
import re
from typing import Any

import binance_payloads as binance
import pytest
from test_native_fuzz import FRAMES, MAKE, assert_sound, changed, offer, places

from bus.errors import MalformedFrame
from daemon.exchanges.binance import Binance

ALL: dict[str, list[bytes]] = {
    **FRAMES,
    "binance": [
        binance.combined(f"bnbbtc@{stream}", build())
        for stream, build in [
            ("trade", binance.trade), ("aggTrade", binance.aggregate), ("bookTicker", binance.quote),
            ("ticker", binance.day), ("depth@100ms", binance.depth), ("kline_1m", binance.kline),
        ]
    ],
}  # fmt: skip
NUMBER = re.compile(r"-?[0-9.]+")
ODD_NUMBERS = ["NaN", "-Infinity", "1e400", "-1", "0", "", float("nan"), float("inf"), 10**400, -1, 0, None]
ODD_WORDS = ["nonsense", "", None, 7, ["buy"]]
DEEP = 100_000


def translator(name: str) -> Any:
    return MAKE[name]("replay") if name in MAKE else Binance()


def value_at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def is_number(value: Any) -> bool:
    return type(value) in (int, float) or (isinstance(value, str) and NUMBER.fullmatch(value) is not None)


@pytest.mark.parametrize("name", sorted(ALL))
def test_numbers_that_are_none_and_words_that_are_unknown(name: str):
    offered = 0
    for text in ALL[name]:
        frame = json.loads(text)
        for path in places(frame):
            old = value_at(frame, path)
            if isinstance(old, dict | list):
                continue
            for odd in ODD_NUMBERS if is_number(old) else ODD_WORDS:
                offer(translator(name), json.dumps(changed(frame, path, odd)).encode())
                offered += 1
    assert offered > 300


@pytest.mark.parametrize("name", sorted(ALL))
def test_fields_that_are_unknown_change_nothing(name: str):
    for text in ALL[name]:
        frame = json.loads(text)
        for path in places(frame):
            inner = value_at(frame, path)
            if isinstance(inner, dict):
                more = changed(frame, path, {**inner, "unknown_field": {"any": ["thing"]}})
                expected = events_or_error(translator(name), json.dumps(frame).encode())
                assert events_or_error(translator(name), json.dumps(more).encode()) == expected


def events_or_error(exchange: Any, text: bytes) -> Any:
    try:
        events = exchange.parse(text, 5, 2)
    except MalformedFrame:
        return MalformedFrame
    assert_sound(events)
    return events


@pytest.mark.parametrize("name", sorted(ALL))
def test_frames_that_end_anywhere_and_frames_nested_deeply(name: str):
    for text in ALL[name]:
        for end in range(len(text)):
            with pytest.raises(MalformedFrame):
                translator(name).parse(text[:end], 5, 2)
        for deep in (b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, text[:-1] + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}"):
            offer(translator(name), deep)
