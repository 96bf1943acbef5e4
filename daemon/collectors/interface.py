"""What runs one exchange, as the rest of the daemon sees it: native or through ccxt."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from bus.events import Event, Trade
from daemon.collectors.symbols import FeedSettings
from daemon.exchanges.base import FeedKey, Instrument, Span, Translated
from daemon.resilience.breaker import CircuitBreaker


class SymbolList(Protocol):
    """One exchange's symbols."""

    @property
    def loads(self) -> int:
        """How often they have been loaded."""
        ...

    @property
    def trouble(self) -> str:
        """Why the last attempt to load them failed, "" when it did not."""
        ...

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols by unified name, empty until they are loaded."""
        ...


class Collector(Protocol):
    """Everything that runs for one exchange."""

    name: str
    settings: FeedSettings
    """What was configured."""
    breakers: Mapping[str, CircuitBreaker]
    """By kind: `ws` and `rest`."""

    @property
    def listing(self) -> SymbolList:
        """The exchange's symbols."""
        ...

    @property
    def feeds(self) -> list[FeedKey]:
        """The wanted feeds."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether the exchange's symbols are known."""
        ...

    @property
    def newest_only(self) -> bool:
        """Whether its history of trades is the newest ones, so that a hole in them is healed at once or never."""
        ...

    @property
    def publishing(self) -> bool:
        """Whether this process publishes the feeds, or stands by while another one does."""
        ...

    async def run(self) -> None:
        """Deliver the wanted feeds until cancelled."""

    def why_not(self, feed: FeedKey) -> str:
        """Return why the exchange cannot deliver a feed, "" when it can."""
        ...

    async def add(self, feeds: Iterable[FeedKey], purpose: str = "") -> dict[FeedKey, str]:
        """Deliver more feeds without touching the others; return those that the exchange cannot deliver, and why.

        A `purpose` is told with the states of the feeds.
        """
        ...

    async def remove(self, feeds: Iterable[FeedKey]) -> None:
        """Stop delivering feeds, without touching the others."""

    def history(self, feed: FeedKey, span: Span) -> AsyncIterator[list[Translated]]:
        """Give a part of a feed's history page by page, within what the request limits leave to spare.

        Raises ExchangeUnavailable, MalformedFrame; RequestRefused also where the exchange keeps no such history.
        """
        ...

    async def volumes(self) -> Mapping[str, Decimal]:
        """Ask what was traded in 24 hours, in quote currency, by symbol; nothing where the exchange does not tell.

        Raises ExchangeUnavailable, RequestRefused, MalformedFrame.
        """
        ...

    async def resync_book(self, symbol: str, reason: str) -> None:
        """Have one symbol's book start anew from a snapshot, without touching anything else where that can be."""

    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish events of this exchange in turn with its live ones."""

    def status(self) -> dict[str, Any]:
        """Return what the `status` command says of this exchange."""
        ...
