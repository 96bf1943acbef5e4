"""Timestamps as RFC 3339 text, which many exchanges send, become integer ns without losing a digit."""

from datetime import UTC, datetime
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.errors import MalformedFrame

PARTS: Final = r"([0-9T:-]{19}\.)([0-9]{1,9}+)Z"
"""The usual form as part of a pattern; its two groups are what `of_parts` wants."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_DAY: Final = 86_400
_POINT: Final = len("2021-04-17T16:48:52.")
_MICROSECONDS: Final = len("2021-04-17T16:48:52.949650Z")
_UNITS: Final[dict[int, int]] = {decimals: SECOND // 10**decimals for decimals in range(1, 10)}
"""What the last decimal stands for (ns), by how many there are."""
_LATEST: Final = 2**63
_SECONDS_KEPT: Final = 1_000

_seconds: dict[str, int] = {}
"""Seconds seen of late as text and in ns: reading a date is slow, and all texts of a second begin alike."""


def nanoseconds(text: str) -> int:
    """Return a time such as 2021-04-17T16:48:52.949650Z, with up to nine decimals, in ns. Raises MalformedFrame."""
    decimals = text[_POINT:-1]
    second, unit = _seconds.get(text[:_POINT]), _UNITS.get(len(decimals))
    if second and unit and decimals.isdecimal() and text[-1] == "Z":
        return second + int(decimals) * unit
    return _slowly(text)


def of_parts(second: str, decimals: str) -> int:
    """Return the time that a pattern has found in `PARTS`, in ns. Raises MalformedFrame for one that there is not."""
    try:
        return _seconds[second] + int(decimals) * _UNITS[len(decimals)]
    except KeyError:
        return _slowly(f"{second}{decimals}Z")


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
    if whole and len(text) - _POINT - 1 in _UNITS and text[_POINT - 1] == "." and text[-1] == "Z":
        if len(_seconds) >= _SECONDS_KEPT:
            _seconds.clear()
        _seconds[text[:_POINT]] = second
    return time


def _beyond_microseconds(text: str) -> int:
    """Return the ns that the decimals after the sixth stand for, which `datetime` leaves out."""
    digits = text[_MICROSECONDS - 1 : -1]
    if len(digits) > 3 or not digits.isdecimal() or text[-1] != "Z":  # noqa: PLR2004 # ns in a µs have three digits
        raise MalformedFrame(f"not a UTC time: {text[:40]!r}")
    return int(digits.ljust(3, "0"))
