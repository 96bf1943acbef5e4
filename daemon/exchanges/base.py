"""What an exchange is to the rest of the daemon: a translator without I/O.

Bytes go in (`parse`, `answer`), events come out. What the translator wants done outside stands in two queues that its
owner empties after each call: `requests` (REST calls to make) and `notices` (everything a frame said that is no data).
Times are passed in. A collector, a replay and a test drive a translator in the same way.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from bus.events import AnyMarketEvent, Source


class FeedKey(msgspec.Struct, frozen=True, order=True):
    """One subscription as the user names it: unified symbol, channel, and the timeframe of a candle feed."""

    symbol: str
    channel: str
    timeframe: str = ""


class Endpoints(msgspec.Struct, frozen=True):
    """Base URLs of one exchange; a configuration can point them at another host of the same protocol."""

    rest: str
    websocket: str


class Limits(msgspec.Struct, frozen=True):
    """What the exchange allows, from its documentation."""

    feeds_per_connection: int
    """Subscriptions one connection carries, counted in the exchange's own streams."""
    streams_per_message: int
    """Streams that one subscribe message names."""
    message_interval: float
    """Seconds between two messages to the exchange."""
    connects_per_minute: int
    lifetime: float
    """Seconds after which the exchange ends a connection; the next one is opened before."""
    ping_interval: float | None
    """Seconds between pings that the client must send (None: the server pings)."""
    silence: float
    """Seconds without any frame after which a connection counts as dead."""
    weight_per_minute: int
    """REST request weight per minute and address."""


class Request(msgspec.Struct, frozen=True):
    """A public REST call that a translator wants made: GET `path` under the REST endpoint."""

    kind: str
    """What it is for, in the translator's own words; handed back with the answer."""
    path: str
    params: Mapping[str, str]
    weight: int
    symbol: str = ""
    timeframe: str = ""


NoticeKind = Literal["control", "unknown", "refused", "send", "reconnect"]


class Notice(msgspec.Struct, frozen=True):
    """Something a frame said that is no market data.

    `control`: acknowledgement or heartbeat. `unknown`: well-formed, of a kind not known here. `refused`: the exchange
    refused what we asked (`text` says what). `send`: send `text` on this connection. `reconnect`: the exchange is
    about to end this connection.
    """

    kind: NoticeKind
    text: str = ""
    message_id: int | None = None
    """Of our message that this answers, where the exchange repeats it."""


class Instrument(msgspec.Struct, frozen=True):
    """A tradable symbol with its limits, as decimal strings in the exchange's own digits; None where it has none."""

    exchange: str
    symbol: str
    native: str
    base: str
    quote: str
    kind: Literal["spot", "linear", "inverse", "future"]
    active: bool
    tick_size: str | None = None
    lot_size: str | None = None
    min_amount: str | None = None
    min_notional: str | None = None


class Exchange(ABC):
    """A translator between one exchange's protocol and MarketDataEvents.

    One instance serves all connections to the exchange, so that what overlapping connections deliver twice is
    published once. It raises MalformedFrame for what cannot become well-formed events.
    """

    name: ClassVar[str]
    channels: ClassVar[frozenset[str]]
    timeframes: ClassVar[frozenset[str]]
    endpoints: ClassVar[Endpoints]
    limits: ClassVar[Limits]

    def __init__(self, source: Source = "ws", trades: Literal["each", "aggregate"] = "each") -> None:
        """`trades`: every trade, or the exchange's aggregates where it has such a stream."""
        self.source: Source = source
        self.trades_wanted: Literal["each", "aggregate"] = trades
        self.requests: deque[Request] = deque()
        self.notices: deque[Notice] = deque()
        self.duplicates: Counter[str] = Counter()
        """Events dropped as already published, by channel; the owner turns them into metrics."""
        self.resyncs = 0
        """Sequence breaks after which a book started anew from a snapshot."""

    # instruments
    @abstractmethod
    def instruments_request(self) -> Request:
        """Return the call that lists the symbols; its answer goes through `answer` like any other."""

    @property
    @abstractmethod
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the list was answered."""

    # subscribing
    @abstractmethod
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the exchange's own names of the streams that make up a feed."""

    @abstractmethod
    def url(self, websocket: str) -> str:
        """Return the URL to connect to under a websocket endpoint."""

    @abstractmethod
    def subscribe(self, streams: Sequence[str], message_id: int) -> str:
        """Return the message that subscribes to at most `limits.streams_per_message` streams."""

    @abstractmethod
    def unsubscribe(self, streams: Sequence[str], message_id: int) -> str:
        """Return the message that ends these subscriptions."""

    def ping(self) -> str | None:
        """Return the message to send every `limits.ping_interval`, None where the protocol's own pings are enough."""
        return None

    # data
    @abstractmethod
    def parse(self, frame: bytes | str, recv: int, connection: int = 0) -> list[AnyMarketEvent]:
        """Turn one frame into events, in order. Raises MalformedFrame.

        `recv`: local receive time, ns. `connection`: which connection it came on, for exchanges that count per
        connection.
        """

    @abstractmethod
    def answer(self, request: Request, body: bytes | str, recv: int) -> list[AnyMarketEvent]:
        """Turn the answer to a request into events, in order. Raises MalformedFrame."""

    @abstractmethod
    def failed(self, request: Request) -> None:
        """Say that a request will not be answered; the translator asks again when it still needs it."""

    @abstractmethod
    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: their books start anew from a snapshot."""

    # history
    @abstractmethod
    def trades_since(self, symbol: str, trade_id: str | None, start: int | None, end: int | None) -> Request:
        """Return the call for trades from a trade id on, or of a time span (ns); answered events carry the page."""

    @abstractmethod
    def candles_between(self, symbol: str, timeframe: str, start: int, end: int) -> Request:
        """Return the call for the candles that open in [start, end] (ns)."""

    def polls(self, feed: FeedKey) -> Request | None:  # noqa: ARG002 # most feeds have a stream
        """Return the call that polls a feed which the exchange does not stream, None where it streams it."""
        return None
