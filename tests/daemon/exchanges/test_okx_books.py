"""A book message of OKX in its usual form is checked by a pattern, and comes to what checking each level does."""

import json
from typing import Any

import okx_payloads as okx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.exchanges import okx_books

NUMBERS = [
    "8476.98", "5", "0.01", "0.000", "0", "00.10", "007", "00", "0.", "1e5", "-1", "+1", "NaN", "", ".5", "5.", ".",
    "1.2.3", "1_0", " 1", "٣", "0." + "0" * 20 + "1", "9" * 40, "9" * 41, "1\n",
]  # fmt: skip

sides = st.lists(
    st.lists(st.sampled_from(NUMBERS[:3]) | st.sampled_from(NUMBERS), min_size=2, max_size=2)
    | st.lists(st.sampled_from(["1", "0", "", "x"]), max_size=5),
    max_size=3,
)


def frame(bids: list[list[str]], asks: list[list[str]]) -> str:
    whole = [[[*level, "0", "12"] if len(level) == 2 else level for level in side] for side in (bids, asks)]
    text = json.dumps(whole[1], separators=(",", ":"), ensure_ascii=False)
    return okx.book(1, 2, "update", whole[0]).replace('"asks":[]', f'"asks":{text}')


def outcome(text: str) -> Any:
    try:
        return okx_books.read(text.encode())
    except MalformedFrame:
        return "malformed"
    except ValueError:  # msgspec's among them; the translator makes it MalformedFrame
        return "unreadable"


def check_alike(text: str) -> None:
    fast = outcome(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(okx_books, "_sound", lambda _: None)
        assert outcome(text) == fast


@settings(deadline=None)
@given(sides, sides)
@example([["5", "0"]], [["0.000", "1"]])
@example([["0", "0"]], [])
@example([], [["5", "."]])
def test_the_pattern_changes_no_outcome(bids, asks):
    check_alike(frame(bids, asks))


@settings(deadline=None)
@given(st.data())
def test_garbled_frames(data):
    text = frame([["8476.97", "0"], ["0.5", "25.6"]], [["8476.98", "415"]])
    for _ in range(data.draw(st.integers(1, 3))):
        place, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 6))
        text = text[:place] + data.draw(st.text('0123456789.."-+e,[]{}\\ \n', max_size=6)) + text[place + length :]
    check_alike(text)


def test_the_usual_form_is_not_checked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(okx_books, "check_levels", lambda *_: pytest.fail("the usual form was not recognised"))
    message, bids, asks = okx_books.read(frame([["8476.97", "0"], ["0.5", "25.6"]], [["8476.98", "415"]]).encode())
    assert (message.action, message.data[0].seqId) == ("update", 2)
    assert (bids, asks) == ([("8476.97", "0"), ("0.5", "25.6")], [("8476.98", "415")])
