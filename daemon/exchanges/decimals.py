"""What makes a decimal string sound: exchanges' numbers are checked here and passed on unchanged."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from bus.errors import MalformedFrame
from bus.events import Level

MAX_LEVELS: Final = 10_000
"""The most levels that one side of a book message may have; exchanges send at most 5,000."""

Number: TypeAlias = Annotated[str, Meta(min_length=1, max_length=40)]
"""A decimal as typed decoding lets it through; the digits still want `check`."""
Levels: TypeAlias = Annotated[list[tuple[Number, Number]], Meta(max_length=MAX_LEVELS)]
"""One side of a book message."""

_PLAIN: Final = b"0123456789."


def check(positive: Sequence[str], others: Sequence[str] = ()) -> None:
    """Raise MalformedFrame unless all are plain decimals (no sign, no exponent) and those in `positive` exceed 0.

    Joining first makes the character check one pass in C; float only looks, nothing of it is kept.
    """
    if "".join((*positive, *others)).encode().translate(None, _PLAIN):
        raise MalformedFrame(f"not a plain decimal among {_excerpt(positive, others)}")
    try:
        sum(map(float, others))
        sound = min(map(float, positive), default=1.0) > 0
    except ValueError as error:
        raise MalformedFrame(f"not a plain decimal among {_excerpt(positive, others)}") from error
    if not sound:
        raise MalformedFrame(f"a price or traded amount is not above 0 among {_excerpt(positive, ())}")


def check_levels(levels: Sequence[Level]) -> None:
    """Raise MalformedFrame unless every price exceeds 0 and every amount is a plain decimal."""
    if levels:
        prices, amounts = zip(*levels, strict=True)
        check(prices, amounts)


def is_zero(amount: str) -> bool:
    """Whether a checked decimal is zero."""
    return not amount.strip("0.")


def _excerpt(positive: Sequence[str], others: Sequence[str]) -> str:
    return ", ".join(map(repr, (*positive, *others)[:6]))
