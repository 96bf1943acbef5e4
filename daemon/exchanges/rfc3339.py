"""Timestamps as RFC 3339 text, which many exchanges send, become integer ns without losing a digit."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.errors import MalformedFrame

_SECONDS: Final = 19
"""Length of 2021-04-17T16:48:52."""
_MICROSECONDS: Final = 27
"""Length of 2021-04-17T16:48:52.949650Z, the usual form."""
_LATEST: Final = 9_223_372_035
"""The last second whose ns fit into 64 bits."""


def nanoseconds(text: str) -> int:
    """Return a UTC time such as 2021-04-17T16:48:52.949650Z, with up to nine decimals, in ns. Raises MalformedFrame."""
    fraction = text[20:26]
    if len(text) == _MICROSECONDS and text[19] == "." and text[26] == "Z" and fraction.isdecimal():
        return _second(text[:_SECONDS]) + int(fraction) * MICROSECOND
    point, digits = text[_SECONDS : _SECONDS + 1], text[_SECONDS + 1 : -1].ljust(9, "0")
    if text[-1:] != "Z" or point not in {".", "Z"} or text[-2:] == ".Z" or not _nine(digits):
        raise MalformedFrame(f"not a UTC time: {text[:40]!r}")
    return _second(text[:_SECONDS]) + int(digits)


def _nine(digits: str) -> bool:
    return len(digits) == 9 and digits.isdecimal()  # noqa: PLR2004 # nanoseconds


@lru_cache(maxsize=1024)
def _second(text: str) -> int:
    """Return a time without decimals in ns: many messages share one second."""
    try:
        time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedFrame(f"not a UTC time: {text[:40]!r}") from error
    seconds = round(time.timestamp())
    if not 0 < seconds < _LATEST:
        raise MalformedFrame(f"a time out of range: {text[:40]!r}")
    return seconds * SECOND
