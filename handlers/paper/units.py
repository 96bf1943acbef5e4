"""Decimal strings to integers and back, once at the edge, so that everything between is exact and quick.

Prices and sizes are integers ("atoms") in the finest unit of their instrument. Money and balances of every asset are
integers in units of 10**-30, fine enough that price times size times fee rate never needs rounding.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

MONEY_DECIMALS: Final = 30
RATE_DECIMALS: Final = 8
RATE_ONE: Final = 10**RATE_DECIMALS
"""The fee rate of 100 %."""


class NotExact(ValueError):
    """A decimal that has more digits than its unit can hold."""


def power(exponent: int) -> int:
    """Return a power of ten, of an exponent not below 0."""
    result: int = 10**exponent
    return result


_POWERS: Final = [power(exponent) for exponent in range(MONEY_DECIMALS + 1)]


def parse(text: str, decimals: int) -> int:
    """Return a decimal string as an integer of 10**-decimals. Raises NotExact, or ValueError for no finite number."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    missing = decimals - len(fraction)
    if missing >= 0 and digits.isdecimal():
        return int(digits) * _POWERS[missing]
    return _parse_any(text, decimals)


def _parse_any(text: str, decimals: int) -> int:
    """Parse signs, exponents and superfluous zeros, which exchanges seldom send."""
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        raise ValueError(f"'{text}' is no decimal number") from None
    if not isinstance(exponent, int) or exponent > MONEY_DECIMALS:
        raise ValueError(f"'{text}' is no usable number")
    value = int("".join(map(str, digits)))
    shift = exponent + decimals
    if shift >= 0:
        value *= power(shift)
    else:
        value, rest = divmod(value, power(-shift))
        if rest:
            raise NotExact(f"'{text}' has more than {decimals} decimals")
    return -value if sign else value


def floor_parse(text: str, decimals: int) -> int:
    """Return a size that may be finer than its unit, rounded down: no more is there to take. Raises ValueError."""
    try:
        return parse(text, decimals)
    except NotExact:
        return int(Decimal(text).scaleb(decimals))


def to_text(value: int, decimals: int) -> str:
    """Return the decimal string of an integer of 10**-decimals, without superfluous zeros."""
    if value < 0:
        return "-" + to_text(-value, decimals)
    whole, rest = divmod(value, _POWERS[decimals])
    if not rest:
        return str(whole)
    fraction = str(rest).rjust(decimals, "0").rstrip("0")
    return f"{whole}.{fraction}"


def money(text: str) -> int:
    """Return an amount of any asset in money units. Raises ValueError."""
    return parse(text, MONEY_DECIMALS)


def money_text(value: int) -> str:
    """Return the decimal string of an amount in money units."""
    return to_text(value, MONEY_DECIMALS)


def rate(text: str) -> int:
    """Return a fee rate ("0.001") in units of 10**-8. Raises ValueError."""
    return parse(text, RATE_DECIMALS)


def decimals_of(text: str) -> int:
    """Return how many decimals a step such as "0.0100" really has."""
    exponent = Decimal(text).normalize().as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"'{text}' is no number")  # noqa: TRY004 # it is a string of the wrong content
    return max(0, -exponent)
