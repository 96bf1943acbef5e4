"""Scenario files: market data, orders and what must come of them, run through the engine on event time.

The file states its schema itself; `t` is in milliseconds. All steps of one `t` come before the commands that arrive
at it on their way to the exchange, as the schema has it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from bus.clock import MILLISECOND
from bus.events import Book, Level, Side, Trade
from handlers.paper import snapshot
from handlers.paper.commands import Cancel, Command, Halt, Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.market import Tradable
from handlers.paper.orders import OrderRequest, OrderType, SelfTrade, TimeInForce, Trigger
from handlers.paper.outcome import Journal, Outcome
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


Step = BookStep | LevelStep | TradeStep | OrderStep | CancelStep | KillStep | RestartStep


class Scenario(msgspec.Struct, frozen=True):
    """One account's story, and what is expected of it (in the schema's own words)."""

    id: str
    config: Config
    initial: dict[str, str]
    steps: list[Step]
    expect: dict[str, Any]
    title: str = ""


class _File(msgspec.Struct, frozen=True):
    scenarios: list[dict[str, Any]]


def read(data: bytes) -> list[Scenario]:
    """Return a file's scenarios. Raises ValueError that names what does not follow the schema, and where."""
    found = msgspec.json.decode(data, type=_File).scenarios
    for scenario in found:
        for step in scenario.get("steps", ()):
            _name_redelivered(step)
    return [_scenario(scenario) for scenario in found]


def _scenario(found: dict[str, Any]) -> Scenario:
    try:
        return msgspec.convert(found, Scenario)
    except msgspec.ValidationError as error:
        raise ValueError(f"scenario {found.get('id', '?')}: {error}") from None


def _name_redelivered(step: Any) -> None:
    """The schema says that a restart lists times, not under which name: any list of a restart is that."""
    if isinstance(step, dict) and step.get("type") == "restart":
        lists = [value for value in step.values() if isinstance(value, list)]
        step["redeliver"] = [t for times in lists for t in times]


def run(scenario: Scenario) -> Outcome:
    """Run a scenario through the engine and return what came of it, in the shape of what is expected."""
    return _Run(scenario).outcome()


class _Run:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        config = scenario.config
        self._engine = Engine()
        instrument = Instrument(EXCHANGE, config.instrument)
        self._engine.list_instrument(instrument)
        nothing = Book(EXCHANGE, instrument.spec.symbol, None, 0, "replay", "snapshot", [], [])
        self._engine.markets[EXCHANGE, instrument.spec.symbol].book(nothing)
        quote = config.instrument.quote
        initial = {quote: scenario.initial.get(quote, "0"), **scenario.initial}
        # An arrival is the last of its millisecond: after all steps of that time.
        delay = config.latency_ms * MILLISECOND + MILLISECOND - 2 if config.latency_ms else 0
        settings = Settings(config.fees, Latency(delay, delay), self_trade=config.stp, trigger=config.trigger)
        self._engine.create(PORTFOLIO, initial, settings)
        self._journal = Journal(PORTFOLIO, EXCHANGE, config.instrument)
        self._journal.take(self._engine)
        self._times = _times(scenario.steps)

    def outcome(self) -> Outcome:
        scenario = self._scenario
        checks = sorted(enumerate(scenario.expect.get("checks") or ()), key=lambda check: int(check[1]["after_t"]))
        results: dict[int, dict[str, Any]] = {}
        for number, step in enumerate(scenario.steps):
            while checks and int(checks[0][1]["after_t"]) < step.t:
                self._check(results, *checks.pop(0))
            self._do(number, step)
        for index, check in checks:
            self._check(results, index, check)
        last = max((item.due for item in self._engine.flight), default=0)
        self._advance(last + 1)
        return self._journal.outcome(self._engine, scenario.expect, [results[index] for index in sorted(results)])

    def _check(self, results: dict[int, dict[str, Any]], index: int, check: dict[str, Any]) -> None:
        self._advance((int(check["after_t"]) + 1) * MILLISECOND - 1)
        results[index] = {"after_t": check["after_t"], **self._journal.state(self._engine, check)}

    def _advance(self, now: int) -> None:
        self._engine.advance(now)
        self._journal.take(self._engine)

    def _do(self, number: int, step: Step) -> None:
        if isinstance(step, RestartStep):
            self._engine.advance(self._times[number])
            self._journal.take(self._engine)
            self._engine = snapshot.load(snapshot.dump(self._engine))
            again = set(step.redeliver)
            for earlier, redelivered in enumerate(self._scenario.steps[:number]):
                if redelivered.t in again and not isinstance(redelivered, RestartStep):
                    self._apply(earlier, redelivered)
        else:
            self._apply(number, step)
        self._journal.take(self._engine)

    def _apply(self, number: int, step: BookStep | LevelStep | TradeStep | OrderStep | CancelStep | KillStep) -> None:
        if isinstance(step, BookStep | LevelStep | TradeStep):
            self._engine.on_event(_event(step, self._scenario.config.instrument.symbol, self._times[number]))
        else:
            command = _command(step, self._scenario.config.instrument.symbol)
            # Sent at the beginning of its millisecond, so that it arrives by the end of another.
            self._engine.on_command(command, step.t * MILLISECOND, number + 1)


def _times(steps: Sequence[Step]) -> list[int]:
    """Return each step's time in ns, strictly rising within its millisecond, so that it is also its identity."""
    counts: dict[int, int] = {}
    times = []
    for step in steps:
        counts[step.t] = counts.get(step.t, 0) + 1
        times.append(step.t * MILLISECOND + counts[step.t])
    return times


def _event(step: BookStep | LevelStep | TradeStep, symbol: str, recv: int) -> Tradable:
    ts = step.t * MILLISECOND
    if isinstance(step, TradeStep):
        return Trade(EXCHANGE, symbol, ts, recv, "replay", str(recv), step.price, step.size, step.aggressor)
    if isinstance(step, BookStep):
        return Book(EXCHANGE, symbol, ts, recv, "replay", "snapshot", step.bids, step.asks)
    level = [(step.price, step.size)]
    bids, asks = (level, []) if step.side == "bid" else ([], level)
    return Book(EXCHANGE, symbol, ts, recv, "replay", "delta", bids, asks)


def _command(step: OrderStep | CancelStep | KillStep, symbol: str) -> Command:
    if isinstance(step, CancelStep):
        return Cancel(PORTFOLIO, step.id)
    if isinstance(step, KillStep):
        return Halt(PORTFOLIO, flatten=step.flatten, flatten_id=step.flatten_id)
    return Submit(
        PORTFOLIO,
        OrderRequest(
            id=step.id,
            exchange=EXCHANGE,
            symbol=step.symbol or symbol,
            side=step.side,
            order_type=step.order_type,
            quantity=step.qty,
            quote_quantity=step.quote_qty,
            price=step.price,
            stop_price=step.stop,
            trail_bps=step.trail_bps,
            trail_amount=step.trail_amount,
            time_in_force=step.tif,
            expire=None if step.expire_t is None else step.expire_t * MILLISECOND,
            post_only=step.post_only,
            reduce_only=step.reduce_only,
            oco=step.oco,
            ouo=step.ouo,
            take_profit=step.take_profit,
            stop_loss=step.stop_loss,
            trigger=step.trigger,
        ),
    )
