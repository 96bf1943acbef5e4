"""A curve over time as inline SVG."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.paper.records import Rows, plain

WIDTH: Final = 900
HEIGHT: Final = 220
_LEFT: Final = 80
_TOP: Final = 10
_BOTTOM: Final = 24
_LINES: Final = 4


def plot(points: Rows, value: str, colour: str, *, downwards: bool = False) -> str:
    """Draw `value` of each point over its `ts`, as steps: a value holds until the next one. `downwards`: 0 on top."""
    if not points:
        return "<p>none</p>"
    values: list[Decimal] = [point[value] for point in points]
    low, high = min(values), max(values)
    if high == low:
        high, low = high + 1, low if downwards else low - 1
    first, last = points[0]["ts"], points[-1]["ts"]
    seconds = max((last - first).total_seconds(), 1)

    def x(ts: datetime) -> str:
        return f"{_LEFT + (WIDTH - _LEFT) * (ts - first).total_seconds() / seconds:.1f}"

    def y(amount: Decimal) -> str:
        share = (amount - low) / (high - low)
        return f"{_TOP + (HEIGHT - _TOP - _BOTTOM) * (share if downwards else 1 - share):.1f}"

    steps = [f"M{x(first)},{y(values[0])}"]
    steps += [f"H{x(point['ts'])}V{y(point[value])}" for point in points[1:]]
    grid = "".join(_line(low + (high - low) * step / _LINES, y) for step in range(_LINES + 1))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{value} over time">{grid}'
        f'<text x="{_LEFT}" y="{HEIGHT - 6}">{first:%Y-%m-%d %H:%M}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">{last:%Y-%m-%d %H:%M}</text>'
        f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="1.5"/></svg>'
    )


def _line(amount: Decimal, y: Callable[[Decimal], str]) -> str:
    at = y(amount)
    label = plain(amount.quantize(Decimal("0.0001")))
    return (
        f'<line x1="{_LEFT}" x2="{WIDTH}" y1="{at}" y2="{at}" stroke="var(--faint)"/>'
        f'<text x="{_LEFT - 8}" y="{at}" dy="4" text-anchor="end">{label}</text>'
    )
