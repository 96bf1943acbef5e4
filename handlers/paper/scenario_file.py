"""Scenario files as they are written: what a step can say, and what is wrong with a file that says something else.

The file states its schema itself; `t` is in milliseconds, prices and amounts are decimal strings.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import msgspec

from bus.clock import MILLISECOND
from bus.events import Level, Side
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.orders import OrderType, SelfTrade, TimeInForce, Trigger
from handlers.paper.portfolio import EngineClock, Portfolio
from handlers.paper.settings import Fees, Latency, Settings

EXCHANGE = "scenario"
PORTFOLIO = "scenario"


class Config(msgspec.Struct, frozen=True):
    """How a scenario's account trades."""

    instrument: InstrumentSpec
    fees: Fees = Fees()
    latency_ms: int = 0
    trigger: Trigger = "last"
    mark: str = "best_bid_for_longs"
    stp: SelfTrade = "EXPIRE_MAKER"


class BookStep(msgspec.Struct, frozen=True, tag="book"):
    """A full snapshot."""

    t: int
    bids: list[Level] = []
    asks: list[Level] = []


class LevelStep(msgspec.Struct, frozen=True, tag="level"):
    """One level stated anew."""

    t: int
    side: Literal["bid", "ask"]
    price: str
    size: str


class TradeStep(msgspec.Struct, frozen=True, tag="trade"):
    """A public print."""

    t: int
    aggressor: Side
    size: str
    price: str


class OrderStep(msgspec.Struct, frozen=True, tag="order"):
    """An order is sent."""

    t: int
    id: str
    side: Side
    order_type: OrderType
    qty: str | None = None
    quote_qty: str | None = None
    price: str | None = None
    stop: str | None = None
    trail_bps: str | None = None
    trail_amount: str | None = None
    tif: TimeInForce = "GTC"
    expire_t: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    oco: str | None = None
    ouo: str | None = None
    trigger: Trigger | None = None
    take_profit: str | None = None
    stop_loss: str | None = None
    symbol: str | None = None


class CancelStep(msgspec.Struct, frozen=True, tag="cancel"):
    """A cancel is sent."""

    t: int
    id: str


class KillStep(msgspec.Struct, frozen=True, tag="kill"):
    """The kill switch."""

    t: int
    flatten: bool = False
    flatten_id: str = "flatten"


class RestartStep(msgspec.Struct, frozen=True, tag="restart"):
    """State is written, memory dropped and read again; then the steps of the times in `redeliver` come once more."""

    t: int
    redeliver: list[int] = []


Step: TypeAlias = BookStep | LevelStep | TradeStep | OrderStep | CancelStep | KillStep | RestartStep


class Scenario(msgspec.Struct, frozen=True):
    """One account's story, and what is expected of it (in the schema's own words)."""

    id: str
    config: Config
    initial: dict[str, str]
    steps: list[Step]
    expect: dict[str, Any]
    title: str = ""

    def settings(self) -> Settings:
        """Return how its account trades.

        What is sent arrives as the last of its millisecond, after all steps of that time.
        """
        config = self.config
        delay = config.latency_ms * MILLISECOND + MILLISECOND - 2 if config.latency_ms else 0
        return Settings(config.fees, Latency(delay, delay), self_trade=config.stp, trigger=config.trigger)


_STEPS: Mapping[str, Any] = {
    "book": BookStep,
    "level": LevelStep,
    "trade": TradeStep,
    "order": OrderStep,
    "cancel": CancelStep,
    "kill": KillStep,
    "restart": RestartStep,
}


def read(data: bytes) -> list[Scenario]:
    """Return a file's scenarios. Raises ValueError that names what does not follow the schema, and where."""
    found = msgspec.json.decode(data)
    if not isinstance(found, dict) or not isinstance(found.get("scenarios"), list):
        raise msgspec.ValidationError('it is not an object with a list of "scenarios"')
    scenarios: dict[str, Scenario] = {}
    for number, each in enumerate(found["scenarios"]):
        where = f"scenarios[{number}]"
        if not isinstance(each, dict):
            raise msgspec.ValidationError(f"{where} is not an object")
        name = each.get("id", where)
        try:
            scenario = _scenario(each)
        except ValueError as error:
            raise ValueError(f"scenario {name}: {error}") from None
        if scenario.id in scenarios:
            raise ValueError(f"{where}: the id '{name}' has been used before")
        scenarios[scenario.id] = scenario
    return list(scenarios.values())


def _scenario(found: dict[str, Any]) -> Scenario:
    steps = found.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            _name_redelivered(step)
            _check_words(step, f"steps[{number}]")
    scenario = msgspec.convert(found, Scenario)
    instrument = Instrument(EXCHANGE, scenario.config.instrument)
    Portfolio(PORTFOLIO, scenario.initial or {instrument.spec.quote: "0"}, scenario.settings(), [], EngineClock())
    _check_steps(scenario.steps, instrument)
    for number, check in enumerate(scenario.expect.get("checks") or ()):
        if not isinstance(check, dict) or not isinstance(check.get("after_t"), int):
            raise msgspec.ValidationError(f"expect.checks[{number}] has no after_t in milliseconds")
    return scenario


def _check_words(step: dict[str, Any], where: str) -> None:
    """Refuse an unknown kind of step, and a word that is nearly one of its own; others are notes."""
    kind = str(step.get("type"))
    if kind not in _STEPS:
        raise ValueError(f"{where}: '{kind}' is no type of step; there are {', '.join(_STEPS)}")
    known = {"type", *_STEPS[kind].__struct_fields__}
    for word in step:
        near = get_close_matches(word, known - step.keys(), n=1, cutoff=0.75)
        if word not in known and near:
            raise ValueError(f"{where}: '{word}' means nothing in a step of type {kind}; is it '{near[0]}'?")


def _name_redelivered(step: dict[str, Any]) -> None:
    """The schema says that a restart lists times, not under which name: any list of a restart is that."""
    if step.get("type") == "restart":
        names = [name for name, value in step.items() if isinstance(value, list)]
        step["redeliver"] = [t for name in names for t in step.pop(name)]


def _check_steps(steps: Iterable[Step], instrument: Instrument) -> None:
    """Check what the engine takes for granted of market data: numbers, and time that does not go back."""
    before = 0
    for number, step in enumerate(steps):
        if step.t < before:
            raise ValueError(f"steps[{number}]: t={step.t} comes after t={before}")
        before = step.t
        if isinstance(step, OrderStep) and step.tif == "GTD" and step.expire_t is None:
            raise ValueError(f"steps[{number}]: an order that is good till a date needs its expire_t")
        match step:
            case BookStep():
                levels = [*step.bids, *step.asks]
            case LevelStep() | TradeStep():
                levels = [(step.price, step.size)]
            case _:
                levels = []
        for price, size in levels:
            try:
                fine = instrument.prices[price] > 0 and instrument.sizes[size] >= 0
            except ValueError as error:
                raise ValueError(f"steps[{number}]: {error}") from None
            if not fine:
                raise ValueError(f"steps[{number}]: a price of {price} and a size of {size} cannot be")
