"""Timestamps as RFC 3339 text, which many exchanges send, become integer ns without losing a digit."""

from datetime import UTC, datetime
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.errors import MalformedFrame

PARTS: Final = r"(.{20})([0-9]{1,9}+)Z"
"""A time as part of a pattern. Its two groups are what `SECONDS` must know it by, and its decimals."""
UNITS: Final[tuple[int, ...]] = tuple(SECOND // 10**decimals for decimals in range(10))
"""What the last decimal stands for (ns), by how many there are."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_DAY: Final = 86_400
_POINT: Final = len("2021-04-17T16:48:52.")
_MICROSECONDS: Final = len("2021-04-17T16:48:52.949650Z")
_LATEST: Final = 2**63
_SECONDS_KEPT: Final = 1_000


SECONDS: Final[dict[str, int]] = {}
"""Seconds seen of late, by their text up to the point: `2021-04-17T16:48:52.`, in ns. `nanoseconds` adds to them.

Reading a date is slow, and all times of a second begin alike.
"""


def nanoseconds(text: str) -> int:
    """Return a time such as 2021-04-17T16:48:52.949650Z, with up to nine decimals, in ns. Raises MalformedFrame."""
    decimals = text[_POINT:-1]
    second = SECONDS.get(text[:_POINT])
    usual = decimals.isascii() and decimals.isdecimal() and len(decimals) < len(UNITS) and text[-1] == "Z"
    if second and usual:
        return second + int(decimals) * UNITS[len(decimals)]
    return _slowly(text)


def _slowly(text: str) -> int:
    """Read a time in any way that the standard allows; remember its second where it is written in the usual way."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except (ValueError, TypeError) as error:
        raise MalformedFrame(f"not a time with its zone: {text[:40]!r}") from error
    second = (since.days * _DAY + since.seconds) * SECOND
    time = second + since.microseconds * MICROSECOND
    if len(text) > _MICROSECONDS:
        time += _beyond_microseconds(text)
    if not 0 < time < _LATEST:
        raise MalformedFrame(f"a time out of range: {text[:40]!r}")
    whole = 0 < second < _LATEST - SECOND  # all of it is in range
    if whole and 0 < len(text) - _POINT - 1 < len(UNITS) and text[_POINT - 1] == "." and text[-1] == "Z":
        if len(SECONDS) >= _SECONDS_KEPT:
            SECONDS.clear()
        SECONDS[text[:_POINT]] = second
    return time


def _beyond_microseconds(text: str) -> int:
    """Return the ns that the decimals after the sixth stand for, which `datetime` leaves out."""
    digits = text[_MICROSECONDS - 1 : -1]
    if len(digits) > 3 or not digits.isdecimal() or text[-1] != "Z":  # noqa: PLR2004 # ns in a µs have three digits
        raise MalformedFrame(f"not a UTC time: {text[:40]!r}")
    return int(digits.ljust(3, "0"))
