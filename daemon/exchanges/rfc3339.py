"""Timestamps as RFC 3339 text, which many exchanges send, become integer ns without losing a digit."""

from datetime import UTC, datetime
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.errors import MalformedFrame

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_DAY: Final = 86_400
_MICROSECONDS: Final = len("2021-04-17T16:48:52.949650Z")
_LATEST: Final = 2**63


def nanoseconds(text: str) -> int:
    """Return a time such as 2021-04-17T16:48:52.949650Z, with up to nine decimals, in ns. Raises MalformedFrame."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except (ValueError, TypeError) as error:
        raise MalformedFrame(f"not a time with its zone: {text[:40]!r}") from error
    time = (since.days * _DAY + since.seconds) * SECOND + since.microseconds * MICROSECOND
    if len(text) > _MICROSECONDS:
        time += _beyond_microseconds(text)
    if not 0 < time < _LATEST:
        raise MalformedFrame(f"a time out of range: {text[:40]!r}")
    return time


def _beyond_microseconds(text: str) -> int:
    """Return the ns that the decimals after the sixth stand for, which `datetime` leaves out."""
    digits = text[_MICROSECONDS - 1 : -1]
    if len(digits) > 3 or not digits.isdecimal() or text[-1] != "Z":  # noqa: PLR2004 # ns in a µs have three digits
        raise MalformedFrame(f"not a UTC time: {text[:40]!r}")
    return int(digits.ljust(3, "0"))
