"""Which streams and events a subscriber wants."""

from collections.abc import Iterable
from typing import TypeAlias

from bus.errors import UsageError
from bus.events import MARKET_CHANNELS, Event, MarketEvent
from bus.streams import StreamNames

Choice: TypeAlias = str | Iterable[str] | None
"""One name, several, or all."""


def _chosen(choice: Choice) -> frozenset[str] | None:
    if choice is None:
        return None
    return frozenset((choice,) if isinstance(choice, str) else choice)


class Selection:
    """A filter by exchange, channel and symbol. Raises UsageError for a channel that there is not.

    Without a channel it means every market channel; `system`, `dead` and `paper` are wanted by name.
    """

    def __init__(self, names: StreamNames, exchange: Choice, channel: Choice, symbol: Choice) -> None:
        self._names = names
        self._exchanges = _chosen(exchange)
        self._channels = _chosen(channel) or frozenset(MARKET_CHANNELS)
        self._symbols = _chosen(symbol)
        own = {"system": names.system, "dead": names.dead, "paper": names.paper}
        for name in self._channels:
            if name not in MARKET_CHANNELS and name not in own:
                raise UsageError(f"there is no channel '{name}'; there are {', '.join((*MARKET_CHANNELS, *own))}")
        self.own = frozenset(stream for name, stream in own.items() if name in self._channels)
        """The wanted ones of the streams that are no market's."""

    def wants_stream(self, stream: str) -> bool:
        """Tell whether a market stream may hold wanted events."""
        parsed = self._names.parse(stream)
        return (
            parsed is not None
            and parsed.channel in self._channels
            and (self._exchanges is None or parsed.exchange in self._exchanges)
        )

    def wants(self, event: Event) -> bool:
        """Tell whether an event is wanted. Events about no exchange or symbol pass only where none was chosen."""
        return (self._symbols is None or getattr(event, "symbol", None) in self._symbols) and (
            self._exchanges is None
            or isinstance(event, MarketEvent)
            or getattr(event, "exchange", None) in self._exchanges
        )


def reached(event: Event) -> int:
    """Return when an event came (ns): of a market event its receipt."""
    return event.recv if isinstance(event, MarketEvent) else event.ts
