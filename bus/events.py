"""The vocabulary: every event that travels on the bus, defined here and nowhere else.

On the wire an event is a msgpack map with exactly these field names plus `type`. Prices and amounts are decimal
strings as the exchange sent them; times are integer nanoseconds since the epoch, UTC. Events are immutable values.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from bus.paper import AnyPaperEvent, PaperCommand

Source: TypeAlias = Literal["ws", "rest", "backfill", "replay", "derived"]
Side: TypeAlias = Literal["buy", "sell"]
Level: TypeAlias = tuple[str, str]
"""One price level: (price, amount). Amount "0" in a delta removes the level."""


class MarketEvent(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """What every market event has.

    `symbol` is ccxt's unified symbol. `ts` is the exchange's time, None where the exchange sends none: never invented.
    `recv` is when this machine had the frame; collectors make it strictly rising per exchange, so that an event
    without an id of its own still has an identity.
    """

    exchange: str
    symbol: str
    ts: int | None
    recv: int
    source: Source


class Trade(MarketEvent, frozen=True, gc=False, tag="trade"):
    """One trade print. `id` is the exchange's; `side` is the taker's."""

    id: str
    price: str
    amount: str
    side: Side


class Ticker(MarketEvent, frozen=True, gc=False, tag="ticker"):
    """Best bid and ask, and the last 24 hours. None where this message did not carry the value."""

    bid: str | None = None
    bid_size: str | None = None
    ask: str | None = None
    ask_size: str | None = None
    last: str | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    volume: str | None = None
    quote_volume: str | None = None


class Book(MarketEvent, frozen=True, tag="book"):
    """An order-book snapshot or the changes since the previous event.

    `first_id`..`last_id` is the range of the exchange's update ids that this event covers; `prev_id` is the last id
    of the event before where the exchange tells it. After every break a consumer gets a `snapshot` first.
    """

    kind: Literal["snapshot", "delta"]
    bids: list[Level]
    asks: list[Level]
    first_id: int | None = None
    last_id: int | None = None
    prev_id: int | None = None
    checksum: int | None = None


class Candle(MarketEvent, frozen=True, gc=False, tag="candle"):
    """One OHLCV bar, possibly still open. `open_ts` is the start of its interval (ns); `volume` in base units."""

    timeframe: str
    open_ts: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int | None
    closed: bool


class Funding(MarketEvent, frozen=True, gc=False, tag="funding"):
    """A perpetual's funding rate for the interval that ends at `next_ts`."""

    rate: str
    next_ts: int | None = None


class MarkPrice(MarketEvent, frozen=True, gc=False, tag="mark_price"):
    """The price that an exchange marks positions at, and its index."""

    mark: str
    index: str | None = None


class OpenInterest(MarketEvent, frozen=True, gc=False, tag="open_interest"):
    """Open contracts: `amount` in base units, `value` in quote units."""

    amount: str
    value: str | None = None


class Liquidation(MarketEvent, frozen=True, gc=False, tag="liquidation"):
    """A forced order that the exchange executed. `id` is None where the exchange gives none."""

    id: str | None
    side: Side
    price: str
    amount: str


FeedState: TypeAlias = Literal["connecting", "live", "stale", "down"]
BreakerState: TypeAlias = Literal["closed", "open", "half_open", "forced_open", "forced_closed"]
GapState: TypeAlias = Literal["open", "filling", "filled", "unfillable"]
Severity: TypeAlias = Literal["info", "warning", "error"]
TaskState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
TASK_ENDS: Final = frozenset({"done", "failed", "cancelled"})
"""The states in which nothing more happens to a task."""


class SystemEvent(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """What every event about the system itself has: when it happened (ns since the epoch, UTC)."""

    ts: int


OWN_LOSS: Final = "lost on the way to Redis: "
"""How the reason of a `Feed` begins where events had been received and taken for published when they were lost."""


class Feed(SystemEvent, frozen=True, gc=False, tag="feed"):
    """The state of one subscription (`symbol` "*" for a whole connection)."""

    exchange: str
    symbol: str
    channel: str
    state: FeedState
    reason: str = ""


class Breaker(SystemEvent, frozen=True, gc=False, tag="breaker"):
    """A circuit breaker changed: `kind` is `ws` or `rest`, `until` when it may be tried again (ns)."""

    exchange: str
    kind: Literal["ws", "rest"]
    state: BreakerState
    until: int | None = None
    reason: str = ""


class Gap(SystemEvent, frozen=True, gc=False, tag="gap"):
    """An interval in which data may be missing. `id` depends on what is missing alone, so finding it twice is one gap.

    `from_ts`..`to_ts` bounds it in time (ns), `from_id`..`to_id` (both missing themselves) where ids are known.
    """

    id: str
    exchange: str
    symbol: str
    channel: str
    from_ts: int | None
    to_ts: int | None
    from_id: str | None
    to_id: str | None
    state: GapState
    reason: str


class Quality(SystemEvent, frozen=True, gc=False, tag="quality"):
    """A validation rule's finding about one event, or a feed's score for an hour (rule `score`)."""

    exchange: str
    symbol: str
    channel: str
    rule: str
    severity: Severity
    event_ref: str
    detail: str


class Task(SystemEvent, frozen=True, gc=False, tag="task"):
    """Progress of a background task; `total` None while unknown.

    `rate`: units done a second; `seconds_left`: what the rest takes at this rate; None where nobody knows yet.
    """

    id: str
    kind: str
    state: TaskState
    done: int
    total: int | None = None
    rate: float | None = None
    seconds_left: float | None = None


class Dead(SystemEvent, frozen=True, gc=False, tag="dead"):
    """Something nobody could digest, kept with the reason and where it came from.

    `origin` is `stream/entry-id#index` for an event or the URL of an exchange frame (secrets removed);
    `handler` is who could not digest it; `payload` the raw bytes.
    """

    id: str
    origin: str
    handler: str
    reason: str
    payload: bytes


AnyMarketEvent: TypeAlias = Trade | Ticker | Book | Candle | Funding | MarkPrice | OpenInterest | Liquidation
AnySystemEvent: TypeAlias = Feed | Breaker | Gap | Quality | Task | Dead
Event: TypeAlias = AnyMarketEvent | AnySystemEvent | AnyPaperEvent | PaperCommand

MARKET_CHANNELS: Final = (
    "trade",
    "ticker",
    "book",
    "candle",
    "funding",
    "open_interest",
    "liquidation",
    "mark_price",
)
"""The channels of market events; an event's `type` is its channel."""

MARKET_EVENTS: Final = (Trade, Ticker, Book, Candle, Funding, MarkPrice, OpenInterest, Liquidation)


def event_type(event: msgspec.Struct) -> str:
    """Return the value of an event's `type` key on the wire."""
    return str(event.__struct_config__.tag)
