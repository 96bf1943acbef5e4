"""Numbers with the exchange's own digits, in the shapes that ccxt's code can work with."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

import msgspec

from bus.errors import MalformedFrame

_PLAIN: Final = frozenset("0123456789.")


class Digits(float):
    """A number that ccxt can compare and negate and that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, value: Any) -> Self:
        """Make one of what the exchange sent."""
        made = super().__new__(cls, value)
        made.text = value.text if isinstance(value, Digits) else str(value)
        return made


class LocalTime(int):
    """Milliseconds of our own clock, so that a time which ccxt made up where the exchange sent none shows as that."""


decode_json = msgspec.json.Decoder(float_hook=str).decode
"""Decodes JSON with its decimals left as strings, which is what ccxt's parsers read them as in the end."""


def digits(value: Any) -> str:
    """Return a number as a plain decimal string. Raises MalformedFrame.

    The digits are the exchange's own, but where ccxt itself has made a float of them: then they are the shortest that
    stand for this float.
    """
    text = value if type(value) is str else value.text if isinstance(value, Digits) else str(value)
    if _PLAIN.issuperset(text) and text:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise MalformedFrame(f"not a number: {text[:40]!r}")
    return f"{number:f}"
