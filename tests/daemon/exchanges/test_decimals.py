"""Levels of a book are checked all at once, which must come to what looking at each of them does."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.exchanges.decimals import check_levels

PLAIN = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
SOUND = ["8476.98", "5", "0.01", "00.10", "007", "0.", ".5", "5.", "9" * 40]
NUMBERS = [
    *SOUND, "0", "0.000", "1e5", "-1", "+1", "NaN", "inf", "", ".", "1.2.3", "1_0", " 1", "٣", "1,2", "1,", "]", "\n",
]  # fmt: skip
sides = st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)), max_size=4)
sound = st.lists(st.tuples(st.sampled_from(SOUND), st.sampled_from([*SOUND, "0", "0.000"])), max_size=4)


def is_sound(price: str, amount: str) -> bool:
    return all(PLAIN.fullmatch(number) for number in (price, amount)) and float(price) > 0


@given(sides | sound, sides | sound)
@example([("1", "1,2"), ("", "5")], [])
@example([("1,2", "5"), ("", "5")], [("1", "5")])
@example([("1", "5")], [("0.00", "5")])
@example([("1", "5")], [("2", "0")])
@example([], [])
def test_levels(bids, asks):
    if all(is_sound(*level) for level in (*bids, *asks)):
        check_levels(bids, asks)
    else:
        with pytest.raises(MalformedFrame):
            check_levels(bids, asks)
