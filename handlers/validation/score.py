"""A feed's quality by the hour: 1 - sum(weight * flags) / events, not below 0.

An error counts fully, a warning by a half, an information by a tenth. An hour without events has no score.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from bus.events import Severity

WEIGHTS: Final[dict[Severity, float]] = {"error": 1.0, "warning": 0.5, "info": 0.1}


@dataclass
class Hour:
    """One feed's hour: events seen, and flags by rule and severity."""

    start: int
    """Hours since the epoch."""
    events: int = 0
    flags: Counter[tuple[str, Severity]] = field(default_factory=Counter)

    @property
    def score(self) -> float:
        """The share of clean events, flags weighted by severity."""
        if not self.events:
            return 1.0
        weighted = sum(WEIGHTS[severity] * count for (_, severity), count in self.flags.items())
        return max(0.0, 1.0 - weighted / self.events)
