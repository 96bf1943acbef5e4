"""Numbers keep the digits that the exchange wrote, through ccxt's code and into events."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.collectors.ccxt.digits import Digits, decode_json, digits

written = st.decimals(min_value=0, max_value=10**12, allow_nan=False, places=8).map(lambda d: f"{d:f}")


@given(written)
def test_json_numbers_and_strings_keep_their_digits(text):
    assert digits(decode_json(f'{{"n": {text}}}')["n"]) == text
    assert digits(Digits(text)) == text
    assert Digits(Digits(text)).text == text


@given(st.floats(min_value=0, max_value=1e18, allow_nan=False))
def test_a_float_becomes_the_shortest_plain_digits_that_stand_for_it(value):
    assert float(digits(value)) == value
    assert set(digits(value)) <= set("0123456789.")


@pytest.mark.parametrize(("value", "text"), [("1e-8", "0.00000001"), (3, "3"), ("-0.5", "-0.5"), (1e-9, "0.000000001")])
def test_exponents_are_written_out(value, text):
    assert digits(value) == text
    assert Decimal(text) == Decimal(str(value))


@pytest.mark.parametrize("value", ["", "abc", "NaN", "Infinity", None, float("nan"), [], "1,000"])
def test_what_is_no_number_is_malformed(value):
    with pytest.raises(MalformedFrame):
        digits(value)
