"""The circuit breaker: stop asking an exchange that keeps failing, and find out carefully when it is back.

closed ──failure rate too high──▶ open ──interval over──▶ half_open ──probes succeed──▶ closed
                                   ▲────────────a probe fails───────────┘
forced_open and forced_closed are the operator's, until `reset`. Pure state machine: time and randomness are passed in.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import msgspec

from bus.clock import SECOND, Clock
from bus.events import Breaker, BreakerState
from daemon.resilience.backoff import Backoff

Verdict: TypeAlias = Literal["success", "failure", "neutral"]

_LOOK_AGAIN: Final = 1.0
"""Seconds after which asking again makes sense where no time is known: somebody else decides."""
_MOST_CALLS: Final = 1_000
"""Calls remembered at most; at higher rates the failure rate is that of the last thousand."""


class BreakerSettings(msgspec.Struct, frozen=True):
    """When a breaker opens and how it comes back. Times in seconds."""

    window: float = 60.0
    minimum_calls: int = 5
    failure_rate: float = 0.5
    probes: int = 1
    """Calls let through when half-open; all of them must succeed."""
    open_base: float = 2.0
    open_cap: float = 120.0


class Permit:
    """Leave for one call; the first verdict counts. Leaving its `with` block without one (cancellation) is neutral."""

    def __init__(self, report: Callable[[Verdict, str], None]) -> None:
        self._report = report
        self._given = False

    def succeed(self) -> None:
        """Say that the call worked: an answer, or the first valid data of a WebSocket."""
        self._give("success", "")

    def fail(self, reason: str) -> None:
        """Say that the exchange failed. Our own mistakes and planned reconnects are no failures: `release` those."""
        self._give("failure", reason)

    def release(self) -> None:
        """Give the permit back without a verdict."""
        self._give("neutral", "")

    def _give(self, verdict: Verdict, reason: str) -> None:
        if not self._given:
            self._given = True
            self._report(verdict, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


class CircuitBreaker:
    """One breaker for one exchange and kind of traffic; `on_change` gets a `Breaker` event at each change of state."""

    def __init__(
        self,
        exchange: str,
        kind: Literal["ws", "rest"],
        clock: Clock,
        random: Random,
        on_change: Callable[[Breaker], None],
        settings: BreakerSettings | None = None,
    ) -> None:
        self._exchange = exchange
        self._kind: Literal["ws", "rest"] = kind
        self._clock = clock
        self._on_change = on_change
        self._settings = settings or BreakerSettings()
        self._backoff = Backoff(random, first=self._settings.open_base, longest=self._settings.open_cap)
        self._state: BreakerState = "closed"
        self._why = ""
        """Why it was opened last."""
        self._calls: deque[tuple[float, bool]] = deque(maxlen=_MOST_CALLS)
        self._retry_at = 0.0
        self._free_probes = 0
        self._missing_successes = 0
        self._epoch = 0

    @property
    def state(self) -> BreakerState:
        """The state now; an open interval that is over counts as half-open."""
        if self._state == "open" and self._clock.monotonic() >= self._retry_at:
            self._free_probes = self._missing_successes = self._settings.probes
            self._enter("half_open", "the open interval is over")
        return self._state

    @property
    def words(self) -> str:
        """The state now for people, with why it is open."""
        state = self.state
        return f"{state}: {self._why}" if self._why and state in {"open", "forced_open"} else state

    def permit(self) -> Permit | None:
        """Return leave for one call, None when there is none now (see `wait`)."""
        state = self.state
        if state in {"open", "forced_open"}:
            return None
        if state == "half_open":
            if not self._free_probes:
                return None
            self._free_probes -= 1
        epoch = self._epoch
        return Permit(lambda verdict, reason: self._judge(epoch, verdict, reason))

    def wait(self) -> float:
        """Return the seconds after which asking for a permit again makes sense, 0 when it does now."""
        state = self.state
        if state == "open":
            return self._retry_at - self._clock.monotonic()
        if state == "forced_open" or (state == "half_open" and not self._free_probes):
            return _LOOK_AGAIN
        return 0.0

    def open_until(self, until: int, reason: str) -> None:
        """Open until a wall-clock time (ns) that the exchange has named: a ban. An operator's override stays."""
        if self._state in {"forced_open", "forced_closed"}:
            return
        retry_at = self._clock.monotonic() + (until - self._clock.now()) / SECOND
        if self._state != "open" or retry_at > self._retry_at:
            self._retry_at = retry_at
            self._enter("open", reason, until)

    def force_open(self, reason: str) -> None:
        """Let nothing through until `reset`."""
        self._enter("forced_open", reason)

    def force_closed(self, reason: str) -> None:
        """Let everything through, whatever fails, until `reset`."""
        self._enter("forced_closed", reason)

    def reset(self, reason: str) -> None:
        """Forget everything and start closed."""
        self._close(reason)

    def _judge(self, epoch: int, verdict: Verdict, reason: str) -> None:
        if epoch != self._epoch:
            return  # the state has changed since: this call says nothing about it
        if self._state == "half_open":
            self._judge_probe(verdict, reason)
        elif self._state == "closed" and verdict != "neutral":
            self._calls.append((self._clock.monotonic(), verdict == "success"))
            if verdict == "failure" and self._too_many_failures():
                self._trip(reason)

    def _judge_probe(self, verdict: Verdict, reason: str) -> None:
        if verdict == "failure":
            self._trip(reason)
        elif verdict == "neutral":
            self._free_probes += 1
        else:
            self._missing_successes -= 1
            if not self._missing_successes:
                self._close("the probes succeeded")

    def _too_many_failures(self) -> bool:
        oldest = self._clock.monotonic() - self._settings.window
        while self._calls and self._calls[0][0] < oldest:
            self._calls.popleft()
        failures = sum(not succeeded for _, succeeded in self._calls)
        calls = len(self._calls)
        return calls >= self._settings.minimum_calls and failures / calls >= self._settings.failure_rate

    def _trip(self, reason: str) -> None:
        interval = self._backoff.next()
        self._retry_at = self._clock.monotonic() + interval
        self._enter("open", reason, self._clock.now() + round(interval * SECOND))

    def _close(self, reason: str) -> None:
        self._backoff.reset()
        self._enter("closed", reason)

    def _enter(self, state: BreakerState, reason: str, until: int | None = None) -> None:
        self._state = state
        if state in {"open", "forced_open"}:
            self._why = reason
        self._epoch += 1
        self._calls.clear()
        self._on_change(Breaker(self._clock.now(), self._exchange, self._kind, state, until, reason))
