"""The engine forgets nothing in a restart, and nothing happens twice (rule 19)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.clock import MILLISECOND
from bus.events import Book, MarkPrice, Ticker, Trade
from handlers.paper import snapshot
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.settings import Latency, RiskLimits, Settings
from tests.handlers.paper.flows import EXCHANGE, NAME, SYMBOL, Op, apply, command, engine, event, flows

SETTINGS = Settings(
    latency=Latency(2 * MILLISECOND, MILLISECOND, 3 * MILLISECOND, seed=7),
    risk=RiskLimits(max_orders_per_second=40, max_drawdown="0.02", max_open_orders=20),
)


def _with_brackets(flow: list[Op]) -> list[Op]:
    return [_bracket(op) for op in flow]


def _bracket(op: Op) -> Op:
    if op[0] == "order" and op[1]["side"] == "buy" and op[1]["order_type"] in ("market", "limit"):
        return ("order", {**op[1], "take_profit": "102", "stop_loss": "97"})
    return op


def _run(made: Engine, flow: list[Op]) -> Engine:
    for t, op in enumerate(flow, 1):
        apply(made, op, t)
    made.advance(1_000 * MILLISECOND)
    return made


@settings(max_examples=60, deadline=None)
@given(flow=flows().map(_with_brackets), restarts=st.sets(st.integers(1, 120), max_size=5), data=st.data())
def test_restarts_and_redelivery_anywhere_give_the_same_future(flow: list[Op], restarts: set[int], data: Any):
    straight = _run(engine(SETTINGS), flow)
    made, reports = engine(SETTINGS), []
    for t, op in enumerate(flow, 1):
        apply(made, op, t)
        if t in restarts:
            reports += made.reports
            made = snapshot.load(snapshot.dump(made))
            for again in range(data.draw(st.integers(1, t)), t + 1):
                apply(made, flow[again - 1], again)
            assert made.reports == []
    made.advance(1_000 * MILLISECOND)
    assert [*reports, *made.reports] == straight.reports
    assert snapshot.dump(made) == snapshot.dump(straight)


@settings(max_examples=40, deadline=None)
@given(flow=flows(), other=flows())
def test_portfolios_do_not_touch_each_other(flow: list[Op], other: list[Op]):
    """Two portfolios on one market each fare as if they were alone: paper orders move no market."""
    alone = engine(Settings())
    for t, op in enumerate(flow, 1):
        apply(alone, op, t)
    both = engine(Settings())
    both.create("other", {"USDT": "700"}, Settings())
    both.reports.clear()
    commands = [command(op, "other") for op in other if op[0] in ("order", "cancel", "amend")]
    for t, op in enumerate(flow, 1):
        if op[0] in ("book", "level", "trade"):
            both.on_event(event(op, t))
        else:
            both.on_command(command(op), t * MILLISECOND, 2 * t)
        if t < len(commands):
            both.on_command(commands[t], t * MILLISECOND, 2 * t + 1)
    mine = [report for report in both.reports if report.portfolio == NAME]
    assert mine == alone.reports


def test_trades_of_one_frame_share_a_receive_time_and_all_count():
    made = engine(Settings())
    apply(made, ("order", {"id": "a", "side": "buy", "order_type": "limit", "quantity": "3", "price": "99"}), 1)
    trades = [Trade(EXCHANGE, SYMBOL, 5, 5 * MILLISECOND, "ws", name, "99", "1", "sell") for name in "xyz"]
    for trade in [*trades, *trades]:
        made.on_event(trade)
    made = snapshot.load(snapshot.dump(made))
    for trade in trades:
        made.on_event(trade)
    assert made.portfolios[NAME].ledger.balance("BTC").total == 3 * 10**30
    assert not made.portfolios[NAME].open


def test_history_that_is_healed_later_is_not_traded_on():
    made = engine(Settings())
    apply(made, ("order", {"id": "a", "side": "buy", "order_type": "limit", "quantity": "3", "price": "99"}), 1)
    made.on_event(Trade(EXCHANGE, SYMBOL, 5, 5 * MILLISECOND, "backfill", "x", "98", "9", "sell"))
    assert "a" in made.portfolios[NAME].open


def test_orders_that_have_ended_are_not_kept_for_their_expiry():
    made = engine(Settings())
    for number in range(3_000):
        order = {"id": f"a{number}", "side": "buy", "order_type": "limit", "quantity": "1", "price": "99"}
        made.on_command(command(("order", {**order, "time_in_force": "GTD", "expire": 10**15})), number, 2 * number + 1)
        if number != 1_500:
            made.on_command(command(("cancel", f"a{number}")), number, 2 * number + 2)
    assert len(made.expiries) < 1_100
    assert list(made.portfolios[NAME].open) == ["a1500"]
    made.advance(10**15)
    assert not made.portfolios[NAME].open


def test_an_event_with_numbers_that_are_none_leaves_the_market_as_it_was():
    made = engine(Settings())
    apply(made, ("book", [("99", "1")], [("100", "1")]), 1)
    ticking = engine(Settings())
    ticking.list_instrument(Instrument(EXCHANGE, InstrumentSpec("ETH/USDT", "ETH", "USDT", "0.5", "0.1")))
    ticking.on_event(Ticker(EXCHANGE, "ETH/USDT", 1, 1, "ws", "99", "1", "100", "1"))
    now = 5 * MILLISECOND
    made.advance(now)
    ticking.advance(now)
    for of, bad in (
        (made, Trade(EXCHANGE, SYMBOL, 5, now, "ws", "x", "99", "much", "sell")),
        (made, Book(EXCHANGE, SYMBOL, 5, now, "ws", "snapshot", [("98", "1")], [("ninety", "1")])),
        (made, Book(EXCHANGE, SYMBOL, 5, now, "ws", "delta", [("98", "1")], [("99", "")], 7, 9)),
        (made, MarkPrice(EXCHANGE, SYMBOL, 5, now, "ws", "?")),
        (ticking, Ticker(EXCHANGE, "ETH/USDT", 5, now, "ws", "98", "1", "x", "1")),
    ):
        before = snapshot.dump(of)
        with pytest.raises(ValueError, match="number"):
            of.on_event(bad)
        assert snapshot.dump(of) == before


def test_an_event_says_whether_it_was_new_and_of_use():
    made = engine(Settings())
    trade = Trade(EXCHANGE, SYMBOL, 5, 5 * MILLISECOND, "ws", "x", "99", "1", "sell")
    assert made.on_event(trade)
    assert not made.on_event(trade)
    assert not made.on_event(Trade(EXCHANGE, "ELSE/USDT", 5, 9 * MILLISECOND, "ws", "x", "99", "1", "sell"))


def test_changes_that_were_held_until_a_snapshot_came_are_no_repetition():
    """They were received before it, and follow on it by their ids."""
    made = engine(Settings())
    ask = [("100", "1")]
    held = [
        Book(EXCHANGE, SYMBOL, None, recv, "ws", "delta", [(price, "1")], [], number, number, number - 1)
        for recv, number, price in ((40, 11, "97"), (50, 12, "98"))
    ]
    events = [Book(EXCHANGE, SYMBOL, None, 90, "rest", "snapshot", [("96", "1")], ask, None, 10), *held]
    events.append(Book(EXCHANGE, SYMBOL, None, 95, "ws", "delta", [("99", "1")], [], 13, 13, 12))
    assert [made.on_event(event) for event in events] == [True] * 4
    assert made.markets[EXCHANGE, SYMBOL].bid() == 99 * 10**8
    before = snapshot.dump(made)
    assert [made.on_event(event) for event in events] == [False] * 4
    assert snapshot.dump(made) == before
