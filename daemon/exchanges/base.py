"""What an exchange is to the rest of the daemon: a translator without I/O.

Bytes go in (`parse`, `answer`, `page`), events come out. What the translator wants done outside stands in two queues
that its owner empties after each call: `requests` (REST calls to make) and `notices` (everything a frame said that is
no data). Times are passed in. A collector, a replay and a test drive a translator in the same way.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

from bus.clock import SECOND
from bus.errors import MalformedFrame
from bus.events import AnyMarketEvent, Quality, Source, Trade

Translated: TypeAlias = AnyMarketEvent | Quality
"""What a frame can become: market events, and a remark where an id was used up by what is no trade."""


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
    weight: int
    """REST request weight per `weight_window` and address."""
    weight_window: float = 60.0
    """Seconds."""
    messages_per_hour: int | None = None
    """Messages that one connection takes in an hour, where that is limited."""


class Request(msgspec.Struct, frozen=True):
    """A public REST call that a translator wants made: GET `path` under the REST endpoint."""

    kind: str
    """What it is for, in the translator's own words; handed back with the answer."""
    path: str
    params: Mapping[str, str]
    weight: int
    symbol: str = ""
    timeframe: str = ""
    span: "Span | None" = None
    """The part of a feed's history that this call belongs to."""


class Span(msgspec.Struct, frozen=True):
    """A part of a feed's history: times in ns and, where they are known, ids; both ends included."""

    start: int
    end: int
    first_id: str | None = None
    last_id: str | None = None


class Page(msgspec.Struct, frozen=True):
    """What one history call gave: events within the span, in order, and the call for the next page.

    `next` is None at the end of the span, and where the exchange has no more of it.
    """

    events: list[Translated]
    next: Request | None = None


Outcome = Literal["ok", "limited", "banned", "refused", "failed"]


class Standing(msgspec.Struct, frozen=True):
    """What an answer says about how we stand with the exchange.

    `limited`: pause for `wait` seconds. `banned`: no request at all for `wait` seconds. `refused`: our request was
    bad, asking again is no use. `failed`: the exchange is in trouble.
    """

    outcome: Outcome
    wait: float | None = None
    """Seconds, None where the exchange does not say."""
    used: int | None = None
    """Request weight used in the running window by the exchange's own count."""


NoticeKind = Literal["control", "unknown", "refused", "send", "reconnect", "resync"]


class Notice(msgspec.Struct, frozen=True):
    """Something a frame said that is no market data.

    `control`: acknowledgement or heartbeat. `unknown`: well-formed, of a kind not known here. `refused`: the exchange
    refused what we asked (`text` says what), or `feeds` alone of it. `send`: send `text` on this connection.
    `reconnect`: the exchange is about to end this connection. `resync`: what came on this connection does not follow
    on what came before (`text` says how); `feeds` have to be subscribed to anew, and they alone.
    """

    kind: NoticeKind
    text: str = ""
    message_id: int | None = None
    """Of our message that this answers, where the exchange repeats it."""
    feeds: tuple[FeedKey, ...] = ()


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
    contract_size: str | None = None
    """Of a derivative: how much of the base (linear) or quote (inverse) currency one contract stands for."""


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
    polled: ClassVar[frozenset[str]] = frozenset()
    """Those of `channels` that the exchange does not stream: they are polled."""
    bundled: ClassVar[frozenset[type]] = frozenset()
    """Events that come along in streams of other channels: they are published where their own channel is wanted."""
    contiguous: ClassVar[bool] = False
    """Whether trade ids rise by one for each symbol, so that a missing one is a missing trade."""
    newest_only: ClassVar[bool] = False
    """Whether its history of trades is the newest ones, so that a hole in them is healed at once or never."""

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
        self._subscribed: set[str] = set()
        """The exchange's names of the symbols that have been subscribed to; empty in a replay."""

    # instruments
    @abstractmethod
    def instruments_requests(self) -> Sequence[Request]:
        """Return the calls that list the symbols; their answers go through `answer` like any other.

        Asked again later they bring what has changed: an instrument that is no longer listed is not active.
        """

    @property
    @abstractmethod
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by unified symbol; empty before the list was answered."""

    def volumes_requests(self) -> Sequence[Request]:
        """Return the calls that tell every symbol's volume, none where the exchange has no such calls."""
        return ()

    def volumes(self, request: Request, body: bytes | str) -> Mapping[str, Decimal]:  # noqa: ARG002 # as above
        """Read what was traded in 24 hours, in quote currency, by unified symbol. Raises MalformedFrame."""
        raise MalformedFrame(f"{self.name} tells no volumes")

    # subscribing
    @abstractmethod
    def streams(self, feed: FeedKey) -> Sequence[str]:
        """Return the exchange's own names of the streams that make up a feed.

        Raises ConfigError, with a sentence, for a feed that the exchange does not have for this symbol.
        """

    @abstractmethod
    def url(self, websocket: str, feed: FeedKey) -> str:
        """Return the URL under a websocket endpoint that delivers a feed; feeds of one URL share connections."""

    @abstractmethod
    def subscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the messages that subscribe to at most `limits.streams_per_message` streams, usually one."""

    @abstractmethod
    def unsubscribe(self, streams: Sequence[str], message_id: int) -> Sequence[str]:
        """Return the messages that end these subscriptions."""

    def connected(self, connection: int, url: str) -> None:  # noqa: B027 # most translators do not care
        """Say that a connection is open, before its first frame, and where it leads."""

    def ping(self) -> str | None:
        """Return the message to send every `limits.ping_interval`, None where the protocol's own pings are enough."""
        return None

    # data
    @abstractmethod
    def parse(self, frame: bytes, recv: int, connection: int = 0) -> list[Translated]:
        """Turn one frame into events, in order. Raises MalformedFrame.

        `recv`: local receive time, ns. `connection`: which connection it came on, for exchanges that count per
        connection.
        """

    @abstractmethod
    def answer(self, request: Request, body: bytes | str, recv: int) -> list[Translated]:
        """Turn the answer to a request into events, in order. Raises MalformedFrame."""

    @abstractmethod
    def failed(self, request: Request) -> None:
        """Say that a request will not be answered; the translator asks again when it still needs it."""

    def _expects(self, name: str) -> bool:
        """Tell whether messages may be about a symbol: it has been subscribed to, or nothing has."""
        return not self._subscribed or name in self._subscribed

    def _expect(self, name: str) -> None:
        """Raise MalformedFrame for a message about a symbol that nobody has subscribed to: its name is damaged."""
        if not self._expects(name):
            raise MalformedFrame(f"nobody has subscribed to {name[:40]!r}")

    def _renew(self, symbols: Sequence[str], why: str) -> None:
        """Ask for new subscriptions of books, which begin anew so."""
        if symbols:
            self.resyncs += len(symbols)
            what = f"the book of {symbols[0]}" if len(symbols) == 1 else f"the books of {len(symbols)} symbols"
            feeds = tuple(FeedKey(symbol, "book") for symbol in symbols)
            self.notices.append(Notice("resync", f"{what}: {why}", feeds=feeds))

    def torn(self, frame: bytes, connection: int = 0) -> Sequence[FeedKey] | None:  # noqa: ARG002 # most have numbers
        """Return the feeds that an unreadable frame was about, where no number will show that something is missing.

        None where it may have been about the trades of any symbol.
        """
        return ()

    @abstractmethod
    def lost(self, feeds: Sequence[FeedKey], connection: int = 0) -> None:
        """Say that nobody delivers these feeds any more: their books start anew from a snapshot."""

    # history
    @abstractmethod
    def history(self, feed: FeedKey, span: Span) -> Request | None:
        """Return the first call for a part of a feed's history, None where the exchange keeps none of it.

        Its answer goes through `page`, which says how to go on.
        """

    @abstractmethod
    def page(self, request: Request, body: bytes | str, recv: int) -> Page:
        """Turn the answer to a history call into events of the span, `source` "backfill". Raises MalformedFrame."""

    @abstractmethod
    def fresh(self, trade: Trade) -> bool:
        """Tell whether a trade out of history has not been published yet, and remember it as published."""

    # REST
    def standing(self, status: int, headers: Mapping[str, str], body: bytes, now: int) -> Standing:  # noqa: ARG002 # for those that say it there
        """Say what an answer means for limits and breakers; `now` is the wall clock in ns.

        This is RFC 9110 with Binance's 418; exchanges that say it in another way, or in the body, say so here.
        """
        return by_status(status, headers, now)

    def polls(self, feed: FeedKey) -> Request | None:  # noqa: ARG002 # most feeds have a stream
        """Return the call that polls a feed which the exchange does not stream, None where it streams it."""
        return None


_TOO_MANY: Final = 429
_BANNED: Final = 418
_SERVER_ERROR: Final = 500
_OK: Final = range(200, 300)


def by_status(status: int, headers: Mapping[str, str], now: int) -> Standing:
    """Judge an answer by its HTTP status: 429 is a pause, 418 a ban, for as long as Retry-After says."""
    if status in _OK:
        return Standing("ok")
    if status in {_TOO_MANY, _BANNED}:
        wait = retry_after(headers.get("Retry-After", ""), now)
        return Standing("banned" if status == _BANNED else "limited", wait)
    return Standing("failed" if status >= _SERVER_ERROR else "refused")


def retry_after(value: str, now: int) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), None without a usable one."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now / SECOND)
    except (ValueError, OverflowError):
        return None
