"""What is laid over an exchange's class of ccxt: our limits, breakers, digits, books, and the taps on its clients."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ccxt.base.errors import NetworkError

from bus import metrics
from bus.clock import MILLISECOND, Clock
from bus.errors import NotAsked
from daemon.collectors.ccxt.books import order_book
from daemon.collectors.ccxt.digits import Digits, LocalTime, decode_json
from daemon.collectors.ccxt.errors import said, standing
from daemon.collectors.ccxt.intake import CcxtIntake
from daemon.collectors.ccxt.rest import LAST_ANSWER, weight
from daemon.collectors.ccxt.tap import Tap
from daemon.collectors.gate import Gate
from daemon.exchanges.base import Endpoints

ATTEMPT_TIMEOUT: Final = 15.0
TURN: Final = 60.0
"""Seconds that a request may wait for its turn."""
ANSWER: Final[ContextVar[tuple[int, Mapping[str, str]]]] = ContextVar("answer")
"""Status and headers of the last answer in this task."""


class Surroundings(NamedTuple):
    """What the hooks lead to."""

    name: str
    gate: Gate
    intake: CcxtIntake
    clock: Clock


class Hooks:
    """Goes in front of one of ccxt's classes. Its own throttler is replaced: it knows neither pauses nor bans.

    Its costs are kept: a request weighs as many milliseconds as ccxt would make the next one wait.
    """

    _surroundings: Surroundings
    """Of the class, since ccxt's constructor asks for the time already."""

    @property
    def taps(self) -> list[Tap]:
        """The taps on the clients that there are."""
        return [client.tap for client in (self.clients or {}).values()]  # type: ignore[attr-defined] # ccxt's

    # REST

    async def throttle(self, cost: float | None = None) -> None:
        """Wait for the request's turn. Raises NotAsked."""
        await self._surroundings.gate.weight.acquire(weight(cost, self.rateLimit), TURN)  # type: ignore[attr-defined] # ccxt's

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Make one HTTP request with the breaker's leave, and tell limiter and breaker what came of it."""
        name, gate, _, clock = self._surroundings
        permit = gate.rest.permit()
        if permit is None:
            raise NotAsked(f"{name}: the breaker is {gate.rest.words}")
        ANSWER.set((0, {}))
        with permit:
            try:
                answer = await super().fetch(url, method, headers, body)  # type: ignore[misc] # ccxt's class
            except Exception as error:
                status, told = ANSWER.get()
                judged = standing(error, status, told, clock.now())
                metrics.REST_REQUESTS.labels(name, judged.outcome).inc()
                if judged.outcome != "refused":
                    permit.fail(type(error).__name__)
                await gate.obey(judged)
                raise
            if not _is_data(answer):
                permit.fail("no JSON")
                metrics.REST_REQUESTS.labels(name, "failed").inc()
                raise ValueError("the answer is no JSON")
            permit.succeed()
            metrics.REST_REQUESTS.labels(name, "ok").inc()
            metrics.REST_WEIGHT.labels(name).set(gate.weight.used)
            return answer

    def handle_errors(self, status: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        """Keep what `fetch` judges by; ccxt's errors do not carry it."""
        ANSWER.set((status, headers))
        return super().handle_errors(status, reason, url, method, headers, *rest)  # type: ignore[misc] # as above

    def on_rest_response(self, *arguments: Any) -> Any:
        """Keep an answer for the dead letter before anything is read out of it."""
        text = super().on_rest_response(*arguments)  # type: ignore[misc] # as above
        if (last := LAST_ANSWER.get()) is not None:
            last.text = text
        return text

    @staticmethod
    def on_json_response(text: str) -> Any:
        """Decode an answer."""
        return decode_json(text)

    # digits and times

    @staticmethod
    def safe_float(data: Any, key: Any, default: Any = None) -> Any:
        """Return a number that remembers its digits."""
        try:
            return Digits(data[key])
        except (KeyError, IndexError, TypeError, ValueError):
            return default

    def milliseconds(self) -> LocalTime:
        """Return our own clock's time, recognisable as that."""
        return LocalTime(self._surroundings.clock.now() // MILLISECOND)

    # books

    def order_book(self, snapshot: Any = None, depth: int | None = None) -> Any:
        """Return a book of price levels."""
        return order_book(snapshot or {}, depth)

    def counted_order_book(self, snapshot: Any = None, depth: int | None = None) -> Any:
        """Return a book of price levels with their numbers of orders."""
        return order_book(snapshot or {}, depth, counted=True)

    # WebSocket clients

    def client(self, url: str) -> Any:
        """Return the client of a URL, with a tap on it."""
        client = super().client(url)  # type: ignore[misc] # as above
        if not hasattr(client, "tap"):
            name, gate, intake, clock = self._surroundings
            client.tap = Tap(name, client, intake, gate, clock)
        return client

    def on_error(self, client: Any, error: Any) -> None:
        """Tell the tap that its connection failed."""
        client.tap.ended(said(error) if isinstance(error, Exception) else str(error))
        super().on_error(client, error)  # type: ignore[misc] # as above

    def on_close(self, client: Any, code: Any) -> None:
        """Tell the tap that its connection was closed."""
        client.tap.ended(f"closed by the exchange with code {code}")
        super().on_close(client, code)  # type: ignore[misc] # as above

    def give_up(self, tap: Tap, reason: str) -> None:
        """End a connection that is of no use; everybody who watches on it learns why."""
        for client in list(self.clients.values()):  # type: ignore[attr-defined] # ccxt's
            if client.tap is tap:
                client.on_error(NetworkError(reason))


_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "binance": {"watchTrades": {"name": "aggTrade"}},  # only aggregates can be asked for by time, to heal gaps
}
"""Options of ccxt's that we need, for a class and those derived from it."""


def make(exchange: Any, surroundings: Surroundings, options: Mapping[str, Any], endpoints: Endpoints) -> Any:
    """Return an exchange of one of ccxt's classes with the hooks in front, pointed at the endpoints that are given."""
    ours = [_OPTIONS[each.__name__] for each in exchange.__mro__ if each.__name__ in _OPTIONS]
    settings = {
        "enableRateLimit": True,
        "number": str,
        "timeout": round(ATTEMPT_TIMEOUT * 1000),
        "options": {"tradesLimit": 10_000, **(ours[0] if ours else {}), **options},
    }
    hooked = type(exchange.__name__, (Hooks, exchange), {"_surroundings": surroundings})(settings)
    hooked.urls["api"] = _elsewhere(hooked.urls["api"], hooked, endpoints)
    return hooked


def _is_data(answer: Any) -> bool:
    """Tell whether an answer can be what was asked for. ccxt's classes make rows of Nones of an HTML page."""
    return isinstance(answer, dict | list) or (isinstance(answer, str) and answer[:1] not in {"", "{", "[", "<"})


def _elsewhere(urls: Any, exchange: Any, endpoints: Endpoints) -> Any:
    """Return URLs with scheme and host of the endpoints, each keeping its path."""
    if isinstance(urls, dict):
        return {name: _elsewhere(url, exchange, endpoints) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    parts = urlsplit(urls)
    base = endpoints.websocket if parts.scheme in {"ws", "wss"} else endpoints.rest
    if not base:
        return urls
    to = urlsplit(base)
    return urlunsplit((to.scheme, to.netloc, to.path.rstrip("/") + parts.path, parts.query, ""))
