"""Decimal strings to integers and back, exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.paper.units import NotExact, decimals_of, floor_parse, money, parse, to_text


@given(st.integers(-(10**40), 10**40), st.integers(0, 30))
def test_text_and_back(value: int, decimals: int):
    text = to_text(value, decimals)
    assert parse(text, decimals) == value
    assert Decimal(text) == Decimal(value).scaleb(-decimals) or abs(value) > 10**28
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 100), ("1.", 100), ("0.01", 1), (".5", 50), ("1.000", 100), ("-2.5", -250), ("+1", 100), ("1e1", 1000)],
)
def test_what_exchanges_and_people_write(text: str, value: int):
    assert parse(text, 2) == value


@pytest.mark.parametrize("text", ["", ".", "-", "1.2.3", "abc", "NaN", "Infinity", "-sNaN", "1e400", "1,5", "0x10"])
def test_what_is_no_number(text: str):
    with pytest.raises(ValueError, match="number"):
        money(text)


def test_nothing_is_rounded_but_sizes_on_purpose():
    with pytest.raises(NotExact, match="more than 2 decimals"):
        parse("0.001", 2)
    assert floor_parse("0.019", 2) == 1


def test_decimals_of_a_step():
    assert [decimals_of(step) for step in ("1", "0.0100", "10", "1e-3")] == [0, 2, 0, 3]
