"""How many commands each client may send, so that one that has lost its head does not keep the others waiting."""

from typing import Final

from bus.clock import SECOND, Clock

PER_SECOND: Final = 100.0
BURST: Final = 1_000
"""Commands that may come at once from a client that was quiet before."""
CLIENTS: Final = 1_000
"""Clients that are told apart; further ones share one rate."""


class RateLimit:
    """Lets a burst pass, then a steady rate, per client: the generic cell rate algorithm (ITU-T I.371).

    What is kept of a client is the moment (monotonic ns) at which it is back to a full burst.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_at: dict[str, int] = {}

    def take(self, client: str) -> float:
        """Count a command: return 0.0 when it may pass, else the seconds after which one may."""
        now = round(self._clock.monotonic() * SECOND)
        step = round(SECOND / PER_SECOND)
        known = self._slot(client, now)
        full_at = max(now, self._full_at.get(known, now))
        wait = full_at - now - (BURST - 1) * step
        if wait > 0:
            return wait / SECOND
        self._full_at[known] = full_at + step
        return 0.0

    def _slot(self, client: str, now: int) -> str:
        """Return the name under which a client is counted: its own while there is room for one more."""
        if client in self._full_at or len(self._full_at) < CLIENTS:
            return client
        self._full_at = {name: moment for name, moment in self._full_at.items() if moment > now}
        return client if len(self._full_at) < CLIENTS else ""
