"""Where CPU time goes between socket and stream, by timing the calls that each stage consists of while it runs.

Times are exclusive: what a stage calls in another one counts there. `socket`, what remains, is the event loop and
aiohttp's frames. What the timing itself costs is measured beforehand, and taken off.
"""

import functools
import inspect
import time
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from bus.redis.outstream import OutStream
from bus.redis.publisher import Publisher
from bus.redis.wire import Wire
from daemon.collectors.connection import Connection
from daemon.collectors.intake import Intake
from daemon.exchanges.binance import Binance

STAGES: dict[str, list[tuple[type, str]]] = {
    "parse": [(Binance, "parse")],
    "intake": [(Intake, "frames"), (Connection, "_digest")],
    "queue": [(Publisher, "publish"), (Publisher, "_write")],
    "encode": [(OutStream, "cut")],
    "write": [(Wire, "call")],
}
"""`intake`: receive times, feeds' states, metrics; `queue`: by stream, with what was confirmed; `write`: commands."""
TRIALS = 20_000
"""Of the timing alone."""


class Stages:
    """The CPU time of each stage, in seconds, from `begin` on."""

    def __init__(self) -> None:
        self.begin()
        timed = self._function("within", lambda: None)
        for _ in range(TRIALS):
            timed()
        self._within = self._seconds["within"] / TRIALS
        self._around = self._seconds["socket"] / TRIALS
        for stage, calls in STAGES.items():
            for owner, name in calls:
                function = getattr(owner, name)
                timed = self._coroutine if inspect.iscoroutinefunction(function) else self._function
                setattr(owner, name, timed(stage, function))

    def begin(self) -> None:
        """Forget what was measured."""
        self._seconds: Counter[str] = Counter()
        self._stage = "socket"
        self._entered: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self._since = time.thread_time()

    def _enter(self, stage: str) -> str:
        now = time.thread_time()
        self._seconds[self._stage] += now - self._since
        self._since = now
        left, self._stage = self._stage, stage
        return left

    def _run(self, stage: str, call: Callable[[], Any]) -> Any:
        left = self._enter(stage)
        try:
            return call()
        finally:
            self._entered[stage] += 1
            self._left[left] += 1
            self._enter(left)

    def _function(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            return self._run(stage, functools.partial(function, *arguments, **named))

        return timed

    def _coroutine(self, stage: str, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Time a coroutine only while it runs, not while it waits."""

        @functools.wraps(function)
        @types.coroutine
        def timed(*arguments: Any, **named: Any) -> Generator[Any, Any, Any]:
            coroutine = function(*arguments, **named)
            step = functools.partial(coroutine.send, None)
            while True:
                try:
                    awaited = self._run(stage, step)
                except StopIteration as end:
                    return end.value
                try:
                    yield awaited
                    step = functools.partial(coroutine.send, None)
                except BaseException as error:  # noqa: BLE001 # a cancellation is the coroutine's own business
                    step = functools.partial(coroutine.throw, error)

        return timed

    def shares(self) -> dict[str, float]:
        """Return each stage's part of all."""
        self._enter(self._stage)
        seconds = {
            stage: self._seconds[stage] - self._entered[stage] * self._within - self._left[stage] * self._around
            for stage in ("socket", *STAGES)
        }
        return {stage: spent / sum(seconds.values()) for stage, spent in seconds.items()}
