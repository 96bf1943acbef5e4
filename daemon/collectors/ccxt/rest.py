"""Calls ccxt's REST methods: each within a deadline, with our errors, what cannot be read set aside."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from bus.errors import ExchangeUnavailable, MalformedFrame
from daemon.collectors.ccxt.errors import known, said, translated
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.translate import Origin
from daemon.exchanges.base import FeedKey

DEADLINE: Final = 90.0
"""Seconds for one call, the turns of its requests included."""
WINDOW: Final = 10.0
"""Seconds over which requests are counted; ccxt spaces them evenly, we let as many pass at once as fit in here."""
CAPACITY: Final = int(WINDOW * 1_000 * 0.9)
"""Milliseconds of requests in a window; the rest is for other programs on the address."""


class LastAnswer:
    """The text of the last answer to one call, also where ccxt asks in tasks of its own; for the dead letter."""

    text = ""


LAST_ANSWER: Final[ContextVar[LastAnswer | None]] = ContextVar("last answer", default=None)
"""That of the call that the running task serves."""


class CcxtRest:
    """One exchange's REST methods."""

    def __init__(self, name: str, exchange: Any, intake: CcxtIntake) -> None:
        self._name = name
        self._exchange = exchange
        self._intake = intake

    async def call(self, method: str, *arguments: Any) -> Any:
        """Return what a method gives. Raises ExchangeUnavailable, RequestRefused, MalformedFrame."""
        asked: Callable[..., Awaitable[Any]] = getattr(self._exchange, method)
        LAST_ANSWER.set(LastAnswer())
        try:
            async with asyncio.timeout(DEADLINE):
                return await asked(*arguments)
        except TimeoutError as error:
            raise ExchangeUnavailable(f"{self._name}: no answer within {DEADLINE:g} s") from error
        except Exception as error:
            if known(error):
                raise translated(self._name, error) from error
            self.noted(method)
            self._intake.failed(f"ccxt cannot read it: {said(error)}")
            raise MalformedFrame(f"{self._name} {method}: ccxt cannot read the answer: {said(error)}") from error

    def noted(self, method: str) -> None:
        """Let the intake know of the answer to the last call of this task."""
        self._intake.answer(_last_text(), self._url(method))

    def noted_page(self, method: str) -> Origin:
        """Let the intake know of a page of history; return the origin of its events."""
        return self._intake.page(_last_text(), self._url(method))

    def _url(self, method: str) -> str:
        return f"ccxt:{self._name}/{method}"


def _last_text() -> str:
    last = LAST_ANSWER.get()
    return "" if last is None else last.text


def since(feed: FeedKey, start: int) -> tuple[Any, ...]:
    """Return the arguments that ask for what happened from a time (ns) on."""
    milliseconds = start // 1_000_000
    return (feed.symbol, feed.timeframe, milliseconds) if feed.timeframe else (feed.symbol, milliseconds)


def weight(cost: float | None, rate_limit: float) -> int:
    """Return what a request weighs: as many milliseconds as ccxt would make the next one wait.

    `cost` is ccxt's, `rate_limit` the milliseconds between two requests of cost 1.
    """
    return min(max(1, math.ceil((1 if cost is None else cost) * rate_limit)), CAPACITY)
