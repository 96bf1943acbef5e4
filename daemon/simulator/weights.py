"""Request weight by client address, as Binance counts it.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits
"""

from typing import Final, NamedTuple

from bus.clock import Clock

PER_MINUTE: Final = 6_000
PATIENCE: Final = 10
"""Requests after a 429 before the address is banned."""
BAN: Final = 120.0
MINUTE: Final = 60.0


class Verdict(NamedTuple):
    """Whether a request may pass (200), must wait (429) or is banned (418); for how long; and the weight used."""

    status: int
    retry_after: int
    used: int


class _Account:
    def __init__(self) -> None:
        self.minute = -1
        self.used = 0
        self.refused = 0
        self.banned_until = 0.0


class Weights:
    """The books of all addresses."""

    def __init__(self, clock: Clock, per_minute: int = PER_MINUTE) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._accounts: dict[str, _Account] = {}

    def charge(self, address: str, weight: int) -> Verdict:
        """Charge a request to its sender."""
        now = self._clock.monotonic()
        account = self._accounts.setdefault(address, _Account())
        if now < account.banned_until:
            return Verdict(418, max(1, round(account.banned_until - now)), account.used)
        minute = int(now // MINUTE)
        if minute != account.minute:
            account.minute, account.used, account.refused = minute, 0, 0
        account.used += weight
        if account.used <= self._per_minute:
            return Verdict(200, 0, account.used)
        account.refused += 1
        if account.refused > PATIENCE:
            account.banned_until = now + BAN
            return Verdict(418, round(BAN), account.used)
        return Verdict(429, max(1, round((minute + 1) * MINUTE - now)), account.used)
