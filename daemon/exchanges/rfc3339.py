"""Timestamps as RFC 3339 text, which many exchanges send, become integer ns without losing a digit."""

from datetime import UTC, datetime
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.errors import MalformedFrame

PARTS: Final = r"([0-9T:-]{19}\.)([0-9]{1,9}+)Z"
"""The usual form as part of a pattern; the time is SECONDS[first group] + int(second) * UNITS[len(second)]."""
UNITS: Final = tuple(SECOND // 10**decimals for decimals in range(10))
"""What the last decimal stands for (ns), by how many there are."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_DAY: Final = 86_400
_POINT: Final = len("2021-04-17T16:48:52.")
_MICROSECONDS: Final = len("2021-04-17T16:48:52.949650Z")
_LATEST: Final = 2**63
_SECONDS_KEPT: Final = 1_000


class _Seconds(dict[str, int]):
    """Seen of late. Reading a date is slow, and all times of a second begin alike."""

    def __missing__(self, text: str) -> int:
        second = _slowly(f"{text}0Z")
        if second >= _LATEST - SECOND:  # not all of it is in range
            raise MalformedFrame(f"a time out of range: {text[:40]!r}")
        if len(self) >= _SECONDS_KEPT:
            self.clear()
        self[text] = second
        return second


SECONDS: Final = _Seconds()
"""Seconds in ns, by their text up to the point: `2021-04-17T16:48:52.`. Raises MalformedFrame for what is none."""


def nanoseconds(text: str) -> int:
    """Return a time such as 2021-04-17T16:48:52.949650Z, with up to nine decimals, in ns. Raises MalformedFrame."""
    decimals = text[_POINT:-1]
    if len(decimals) < len(UNITS) and decimals.isdecimal() and text[_POINT - 1] == "." and text[-1] == "Z":
        return SECONDS[text[:_POINT]] + int(decimals) * UNITS[len(decimals)]
    return _slowly(text)


def _slowly(text: str) -> int:
    """Read a time in any way that the standard allows."""
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
