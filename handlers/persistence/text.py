"""PostgreSQL's COPY text format: values to text, as cheaply as Python can, without changing a digit.

https://www.postgresql.org/docs/current/sql-copy.html (File Formats, Text Format)
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from bus.clock import MICROSECOND, SECOND
from bus.events import Level

NULL: Final = r"\N"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


@lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def timestamp(ns: int) -> str:
    """A moment (ns since the epoch) to the microsecond, which is what timestamptz holds."""
    seconds, rest = divmod(ns, SECOND)
    return f"{_second(seconds)}.{rest // MICROSECOND:06d}+00"


def timestamp_or_null(ns: int | None) -> str:
    """The same, for a moment that may be unknown."""
    return NULL if ns is None else timestamp(ns)


def text(value: str | None) -> str:
    """Any text, however hostile."""
    return NULL if value is None else value.translate(_ESCAPES)


def number(value: str | int | None) -> str:
    """A number as its digits; what is no number is refused by the database."""
    return NULL if value is None else text(value) if type(value) is str else str(value)


def boolean(value: bool) -> str:  # noqa: FBT001 # it is what is written
    """A truth value."""
    return "t" if value else "f"


def levels(side: Sequence[Level]) -> str:
    """Price levels as the array {{price,amount},…}."""
    if not side:
        return "{}"
    return text("{" + ",".join([f"{{{price},{amount}}}" for price, amount in side]) + "}")


def payload(value: bytes) -> str:
    """Raw bytes as bytea."""
    return r"\\x" + value.hex()
