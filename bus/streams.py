"""Stream names: the one place that knows how an event's stream is called."""

from typing import Final, Literal, NamedTuple, TypeAlias

from bus.events import Dead, Event, MarketEvent, event_type
from bus.paper import PaperCommand, PaperEvent

Access: TypeAlias = Literal["operate", "trade", "read"]
ACCESSES: Final[tuple[Access, ...]] = ("operate", "trade", "read")
"""What senders of commands may do: everything, paper trading and reading, reading alone. Each has its own stream."""


class StreamNames:
    """The names of a bus with one prefix (default `md`)."""

    def __init__(self, prefix: str = "md") -> None:
        self.prefix = prefix
        self.system = f"{prefix}:system"
        self.paper = f"{prefix}:paper"
        self.paper_commands = f"{prefix}:paper_commands"
        self.dead = f"{prefix}:dead"
        self.commands = f"{prefix}:commands"
        self.replies = f"{prefix}:replies"
        self.directory = f"{prefix}:streams"
        """The set that holds every live market stream's name."""
        self._market: dict[tuple[str, type], str] = {}

    def commands_for(self, access: Access) -> str:
        """Return the command stream of those who may do so much, e.g. `md:commands:read`."""
        return self.commands if access == "operate" else f"{self.commands}:{access}"

    def place(self, client: str) -> str:
        """Return the key of the hash in which a client's durable subscription keeps how far it has read."""
        return f"{self.prefix}:client:{client}"

    def market(self, exchange: str, channel: str) -> str:
        """Return the stream of one exchange and channel, e.g. `md:binance:trade`."""
        return f"{self.prefix}:{exchange}:{channel}"

    def of(self, event: Event) -> str:
        """Return the stream that an event belongs on."""
        if isinstance(event, MarketEvent):
            key = (event.exchange, type(event))
            name = self._market.get(key)
            if name is None:
                name = self._market[key] = self.market(event.exchange, event_type(event))
            return name
        if isinstance(event, PaperEvent):
            return self.paper
        if isinstance(event, PaperCommand):
            return self.paper_commands
        return self.dead if isinstance(event, Dead) else self.system

    def parse(self, stream: str) -> "MarketStream | None":
        """Return exchange and channel of a market stream's name, None for any other name."""
        prefix, _, rest = stream.partition(":")
        exchange, _, channel = rest.rpartition(":")
        return MarketStream(exchange, channel) if prefix == self.prefix and exchange and channel else None


class MarketStream(NamedTuple):
    """What a market stream's name says."""

    exchange: str
    channel: str
