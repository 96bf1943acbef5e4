"""Amounts in commands are decimal digits; anything else is refused in words."""

import pytest
from pydantic import TypeAdapter, ValidationError

from daemon.control.paper.arguments import Amount

AMOUNT = TypeAdapter(Amount)


@pytest.mark.parametrize(("given", "means"), [("0", "0"), ("0.50", "0.50"), (10_000, "10000")])
def test_digits_come_through_untouched(given, means):
    assert AMOUNT.validate_python(given) == means


@pytest.mark.parametrize("given", ["", "abc", "-1", "+1", "1e5", "1.", ".5", "NaN", "1\n", "\u0663", "9" * 21])
def test_what_is_no_decimal_number_is_refused_in_words(given):
    with pytest.raises(ValidationError, match="should be a decimal number not below 0"):
        AMOUNT.validate_python(given)


@pytest.mark.parametrize("given", [True, None, 0.5, [], -1])
def test_other_types_are_refused(given):
    with pytest.raises(ValidationError):
        AMOUNT.validate_python(given)
