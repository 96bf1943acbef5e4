"""A book message in its usual form is checked by a pattern, and comes to what checking each level does."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import binance_payloads as binance
import bybit_payloads as bybit
import okx_payloads as okx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.exchanges import binance_frames, bybit_books, okx_books

NUMBERS = [
    "8476.98", "5", "0.01", "0.000", "0", "00.10", "007", "00", "0.", "1e5", "-1", "+1", "NaN", "", ".5", "5.", ".",
    "1.2.3", "1_0", " 1", "٣", "1,2", "0." + "0" * 20 + "1", "9" * 40, "9" * 41, "1\n",
]  # fmt: skip
USUAL = [["8476.97", "0"], ["0.5", "25.6"]], [["8476.98", "415"]]

Side = list[list[str]]
sides = st.lists(
    st.lists(st.sampled_from(NUMBERS[:3]) | st.sampled_from(NUMBERS), min_size=2, max_size=2)
    | st.lists(st.sampled_from(["1", "0", "", "x"]), max_size=5),
    max_size=3,
)


def of_okx(bids: Side, asks: Side) -> str:
    whole = [[[*level, "0", "12"] if len(level) == 2 else level for level in side] for side in (bids, asks)]
    text = json.dumps(whole[1], separators=(",", ":"), ensure_ascii=False)
    return okx.book(1, 2, "update", whole[0]).decode().replace('"asks":[]', f'"asks":{text}')


def of_bybit(bids: Side, asks: Side) -> str:
    return bybit.book(2, bids=bids, asks=asks).decode()


def of_binance(bids: Side, asks: Side) -> str:
    return binance.combined("bnbbtc@depth@100ms", binance.depth(b=bids, a=asks)).decode()


EXCHANGES = pytest.mark.parametrize(
    ("module", "frame"), [(okx_books, of_okx), (bybit_books, of_bybit), (binance_frames, of_binance)]
)


def outcome(module: ModuleType, text: str) -> Any:
    read = module.SPOT.combined["depthUpdate"] if module is binance_frames else module.read
    try:
        return read(text.encode())
    except MalformedFrame:
        return "malformed"
    except ValueError:  # msgspec's among them; the translator makes it MalformedFrame
        return "unreadable"


def same_without_the_pattern(module: ModuleType, text: str) -> bool:
    fast = outcome(module, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_sound", lambda _: None)
        return outcome(module, text) == fast


@EXCHANGES
@settings(deadline=None)
@given(bids=sides, asks=sides)
@example(bids=[["5", "0"]], asks=[["0.000", "1"]])
@example(bids=[["0", "0"]], asks=[])
@example(bids=[], asks=[["5", "."]])
@example(bids=[["5", "-1"]], asks=[])
def test_the_pattern_changes_no_outcome(module: ModuleType, frame: Callable[[Side, Side], str], bids, asks):
    assert same_without_the_pattern(module, frame(bids, asks))


@EXCHANGES
@settings(deadline=None)
@given(data=st.data())
def test_garbled_frames(module: ModuleType, frame: Callable[[Side, Side], str], data):
    text = frame(*USUAL)
    for _ in range(data.draw(st.integers(1, 3))):
        place, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 6))
        text = text[:place] + data.draw(st.text('0123456789.."-+e,[]{}\\ \n', max_size=6)) + text[place + length :]
    assert same_without_the_pattern(module, text)


@EXCHANGES
def test_the_usual_form_is_not_checked_again(module: ModuleType, frame: Callable[[Side, Side], str], monkeypatch):
    monkeypatch.setattr(module, "check_levels", lambda *_: pytest.fail("the usual form was not recognised"))
    for sides in (USUAL, (USUAL[0], []), ([], USUAL[1])):
        assert outcome(module, frame(*sides)) not in ("malformed", "unreadable")


def test_okx():
    message, bids, asks = okx_books.read(of_okx(*USUAL).encode())
    assert (message.action, message.data[0].seqId) == ("update", 2)
    assert (bids, asks) == ([("8476.97", "0"), ("0.5", "25.6")], [("8476.98", "415")])


def test_bybit():
    message = bybit_books.read(of_bybit(*USUAL).encode())
    assert (message.type, message.data.u) == ("delta", 2)
    assert (message.data.b, message.data.a) == ([("8476.97", "0"), ("0.5", "25.6")], [("8476.98", "415")])
