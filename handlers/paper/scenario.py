"""Scenarios: market data, orders and what must come of them, run through the engine on event time.

All steps of one `t` come before the commands that arrive at it on their way to the exchange, as the schema has it.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from bus.clock import MILLISECOND
from bus.events import Book, Trade
from handlers.paper import snapshot
from handlers.paper.commands import Cancel, Command, Halt, Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument
from handlers.paper.market import Tradable
from handlers.paper.orders import OrderRequest
from handlers.paper.outcome import Journal, Outcome
from handlers.paper.scenario_file import (
    EXCHANGE,
    PORTFOLIO,
    BookStep,
    CancelStep,
    KillStep,
    LevelStep,
    OrderStep,
    RestartStep,
    Scenario,
    Step,
    TradeStep,
)

_MarketStep: TypeAlias = BookStep | LevelStep | TradeStep
_CommandStep: TypeAlias = OrderStep | CancelStep | KillStep


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
        self._engine.create(PORTFOLIO, initial, scenario.settings())
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

    def _apply(self, number: int, step: _MarketStep | _CommandStep) -> None:
        if isinstance(step, _MarketStep):
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


def _event(step: _MarketStep, symbol: str, recv: int) -> Tradable:
    ts = step.t * MILLISECOND
    if isinstance(step, TradeStep):
        return Trade(EXCHANGE, symbol, ts, recv, "replay", str(recv), step.price, step.size, step.aggressor)
    if isinstance(step, BookStep):
        return Book(EXCHANGE, symbol, ts, recv, "replay", "snapshot", step.bids, step.asks)
    level = [(step.price, step.size)]
    bids, asks = (level, []) if step.side == "bid" else ([], level)
    return Book(EXCHANGE, symbol, ts, recv, "replay", "delta", bids, asks)


def _command(step: _CommandStep, symbol: str) -> Command:
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
