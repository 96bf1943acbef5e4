"""What can be made to go wrong, as a tester writes it: one model per kind of fault."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bus.errors import ConfigError
from daemon.explain import explain
from daemon.nearest import did_you_mean

Channel = Literal["trade", "ticker", "book", "candle"]


class Fault(BaseModel):
    """What every fault has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    after: float = Field(default=0.0, ge=0, description="seconds until it begins")

    @property
    def lasts(self) -> float | None:
        """Seconds from its beginning to its end, None: until it is lifted. It is over as soon as it has happened."""
        return 0.0


class LastingFault(Fault):
    """A fault that lasts."""

    seconds: float | None = Field(default=None, gt=0, description="how long it lasts; left out: until it is lifted")

    @property
    def lasts(self) -> float | None:
        """Seconds from its beginning to its end, None: until it is lifted."""
        return self.seconds


class SymbolFault(BaseModel):
    """A fault that can be limited to one symbol."""

    symbol: str | None = Field(default=None, description="BTC/USDT or BTCUSDT; left out: all")


class MessageFault(SymbolFault, LastingFault):
    """A fault of single messages. Which ones are hit: those that pass `probability`, or every n-th, up to `count`."""

    channel: Channel | None = Field(default=None, description="trade, ticker, book or candle; left out: all")
    probability: float = Field(default=1.0, gt=0, le=1, description="the share of messages hit")
    every: int = Field(default=1, ge=1, description="hit each n-th message only")
    count: int | None = Field(default=None, ge=1, description="how many messages are hit at most")


class Drop(MessageFault):
    """Messages are lost."""

    kind: Literal["drop"] = "drop"


class Duplicate(MessageFault):
    """Messages come twice."""

    kind: Literal["duplicate"] = "duplicate"


class Reorder(MessageFault):
    """A message comes after the one that follows it."""

    kind: Literal["reorder"] = "reorder"


class Corrupt(MessageFault):
    """A byte of the message is wrong, so that it is no JSON."""

    kind: Literal["corrupt"] = "corrupt"


class Truncate(MessageFault):
    """The message ends somewhere in the middle."""

    kind: Literal["truncate"] = "truncate"


class Replace(MessageFault):
    """Something else comes in place of the message."""

    kind: Literal["replace"] = "replace"
    text: str = Field(description="what comes")
    times: int = Field(default=1, ge=1, le=100_000_000, description="how often in a row, as one message")


class Slow(MessageFault):
    """Messages come late, in order."""

    kind: Literal["slow"] = "slow"
    delay: float = Field(default=2.0, gt=0, le=60, description="seconds")


class ClockSkew(MessageFault):
    """The exchange's times in messages are wrong."""

    kind: Literal["clock_skew"] = "clock_skew"
    skew: float = Field(default=60.0, description="seconds that are added to its times; negative: they lie in the past")


class BrokenChain(MessageFault):
    """A book update that does not follow the one before: what a wrong checksum is elsewhere."""

    kind: Literal["broken_chain"] = "broken_chain"
    channel: Literal["book"] = "book"


class CrossedBook(MessageFault):
    """A book update leaves a bid above the best ask, where it stays: the ids are right and the book is wrong."""

    kind: Literal["crossed_book"] = "crossed_book"
    channel: Literal["book"] = "book"


class Mute(MessageFault):
    """Subscriptions fall silent while their connection stays up."""

    kind: Literal["mute"] = "mute"


class HalfOpen(SymbolFault, Fault):
    """Connections that listen to the symbol bring nothing more, not even an answer to a ping; they are not closed."""

    kind: Literal["half_open"] = "half_open"


class AcceptThenDrop(LastingFault):
    """New connections are accepted, subscriptions confirmed, and the connection is dropped before any data."""

    kind: Literal["accept_then_drop"] = "accept_then_drop"
    hold: float = Field(default=0.2, ge=0, le=60, description="seconds until it is dropped")


class Cut(SymbolFault, Fault):
    """Connections that listen to the symbol end, as every day or for maintenance."""

    kind: Literal["cut"] = "cut"
    clean: bool = Field(default=True, description="with a closing handshake; false: the line is dead at once")
    notice: float = Field(
        default=0.0, ge=0, le=600, description="seconds between the exchange's announcement and the end"
    )

    @property
    def lasts(self) -> float | None:
        """Seconds from the announcement to the end."""
        return self.notice


class Http(LastingFault):
    """Requests are answered with an error, or late."""

    kind: Literal["http"] = "http"
    path: str = Field(default="", description="only paths that contain this, e.g. depth, or /ws for connecting")
    status: int = Field(default=200, ge=200, le=599, description="429, 418, 500, …; 200: as usual")
    retry_after: int | None = Field(
        default=None,
        ge=0,
        description="seconds, with 429 and 418; left out: what the fault still lasts",
    )
    delay: float = Field(default=0.0, ge=0, le=600, description="seconds until it is answered")


class LostHistory(SymbolFault, LastingFault):
    """The REST API does not have some trades: what was missed can not be had again."""

    kind: Literal["lost_history"] = "lost_history"
    from_id: int = Field(default=0, ge=0, description="the first trade id it does not have; 0: all from the beginning")
    to_id: int = Field(default=(1 << 63) - 1, ge=0, description="the last one; left out: to the end")


class SequenceReset(SymbolFault, Fault):
    """The ids of book updates start again lower, as after a restart of the exchange's engine."""

    kind: Literal["sequence_reset"] = "sequence_reset"


class Delist(SymbolFault, LastingFault):
    """The symbol is no longer traded."""

    kind: Literal["delist"] = "delist"
    symbol: str = Field(description="BTC/USDT or BTCUSDT")


AnyFault = (
    Drop | Duplicate | Reorder | Corrupt | Truncate | Replace | Slow | ClockSkew | BrokenChain | CrossedBook
    | Mute | HalfOpen | AcceptThenDrop | Cut | Http | LostHistory | SequenceReset | Delist
)  # fmt: skip

KINDS: Final[dict[str, type[AnyFault]]] = {model.model_fields["kind"].default: model for model in AnyFault.__args__}


def read(value: Any) -> AnyFault:
    """Read one fault. Raises ConfigError with a sentence for each thing that is wrong."""
    if not isinstance(value, dict):
        raise ConfigError('a fault is an object such as {"kind": "drop", "symbol": "BTC/USDT", "probability": 0.01}')
    kind = value.get("kind")
    model = KINDS.get(str(kind))
    if model is None:
        raise ConfigError(f"kind {kind!r} is not known{did_you_mean(str(kind), list(KINDS))}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError("; ".join(explain(error, model))) from None
