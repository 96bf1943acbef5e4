"""What must hold after every step of any flow, whatever the rules make of it."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.paper import FillReport
from handlers.paper.engine import Engine
from handlers.paper.portfolio import Portfolio
from handlers.paper.settings import Fees, Settings
from handlers.paper.units import money, money_text
from tests.handlers.paper.flows import NAME, Op, apply, engine, flows

CURRENCIES = st.sampled_from(["quote", "received"])
CASH = money("2500")


def _steps(flow: list[Op], currency: Any) -> Iterator[tuple[Engine, Portfolio, Op, list[FillReport]]]:
    """Run a flow; yield after every step, with the fills that it brought."""
    made = engine(Settings(Fees("0.0002", "0.0005", currency)))
    for t, op in enumerate(flow, 1):
        seen = len(made.reports)
        apply(made, op, t)
        fills = [report for report in made.reports[seen:] if isinstance(report, FillReport)]
        yield made, made.portfolios[NAME], op, fills


@settings(max_examples=60, deadline=None)
@given(flow=flows(), currency=CURRENCIES)
def test_assets_are_conserved_to_the_last_digit(flow: list[Op], currency: Any):
    owned = {"USDT": CASH, "BTC": 0}
    for _, portfolio, _, fills in _steps(flow, currency):
        for fill in fills:
            sign = 1 if fill.side == "buy" else -1
            owned["BTC"] += sign * money(fill.quantity)
            owned["USDT"] -= sign * money(str(Decimal(fill.price) * Decimal(fill.quantity)))
            owned[fill.fee_currency] -= money(fill.fee)
        assert {asset: portfolio.ledger.balance(asset).total for asset in owned} == owned


@settings(max_examples=60, deadline=None)
@given(flow=flows(), currency=CURRENCIES)
def test_no_more_is_locked_than_is_there_and_nothing_without_an_order(flow: list[Op], currency: Any):
    for _, portfolio, _, _ in _steps(flow, currency):
        for balance in portfolio.ledger.balances.values():
            assert 0 <= balance.locked <= balance.total
        if not portfolio.open:
            assert not any(balance.locked for balance in portfolio.ledger.balances.values())
    for name in list(portfolio.open):
        portfolio.cancel(name)
    assert not any(balance.locked for balance in portfolio.ledger.balances.values())


@settings(max_examples=60, deadline=None)
@given(flow=flows())
def test_nothing_fills_beyond_what_was_printed_or_displayed(flow: list[Op]):
    displayed: dict[str, dict[str, Decimal]] = {"bid": {}, "ask": {}}
    filled: dict[str, Decimal] = {"bid": Decimal(0), "ask": Decimal(0)}
    for _, _, op, fills in _steps(flow, "quote"):
        if op[0] == "book":
            displayed = {"bid": _decimals(op[1]), "ask": _decimals(op[2])}
            filled = {"bid": Decimal(0), "ask": Decimal(0)}
        elif op[0] == "level":
            displayed[op[1]][_price(op[2])] = Decimal(op[3])
            filled[op[1]] = Decimal(0)
        elif op[0] == "trade":
            makers = [fill for fill in fills if fill.liquidity == "maker"]
            assert sum(Decimal(fill.quantity) for fill in makers) <= Decimal(op[3])
        for fill in fills:
            if op[0] == "trade" and fill.liquidity == "maker":
                continue
            filled["ask" if fill.side == "buy" else "bid"] += Decimal(fill.quantity)
        for side, levels in displayed.items():
            assert filled[side] <= sum(levels.values())


def _decimals(levels: list[tuple[str, str]]) -> dict[str, Decimal]:
    return {_price(price): Decimal(size) for price, size in levels}


def _price(text: str) -> str:
    return format(Decimal(text).normalize(), "f")


@settings(max_examples=60, deadline=None)
@given(flow=flows())
def test_own_orders_fill_in_price_time_order(flow: list[Op]):
    """Nobody fills from a print while an order of ours at a better price, or an older one at its price, still rests."""
    place: dict[str, tuple[str, int, int]] = {}
    for _, portfolio, op, fills in _steps(flow, "quote"):
        if op[0] == "trade":
            for fill in (fill for fill in fills if fill.liquidity == "maker"):
                still = [place[name] for name in portfolio.open if name in place and name != fill.order]
                assert not [it for it in still if it[0] == fill.side and it < place[fill.order]]
        place = {
            name: ("buy" if order.buy else "sell", (-1 if order.buy else 1) * (order.price or 0), order.seq)
            for name, (order, _) in portfolio.open.items()
            if order.resting
        }


@settings(max_examples=60, deadline=None)
@given(flow=flows(), currency=CURRENCIES)
def test_positions_are_kept_at_average_cost(flow: list[Op], currency: Any):
    base, cost, realized = Fraction(0), Fraction(0), Fraction(0)
    for _, portfolio, _, fills in _steps(flow, currency):
        for fill in fills:
            size = Fraction(fill.quantity)
            if fill.side == "buy":
                size -= Fraction(fill.fee) if fill.fee_currency == "BTC" else 0
                base, cost = base + size, cost + size * Fraction(fill.price)
            else:
                sold = cost * size / base
                realized += size * Fraction(fill.price) - sold
                base, cost = base - size, cost - sold
        position = next((desk.position for desk in portfolio.desks.values()), None)
        if position is not None:
            assert Fraction(money_text(position.base)) == base
            assert abs(Fraction(money_text(position.cost)) - cost) < Fraction(1, 10**15)
            assert abs(Fraction(money_text(position.realized)) - realized) < Fraction(1, 10**15)


@settings(max_examples=60, deadline=None)
@given(flow=flows(), currency=CURRENCIES)
def test_equity_is_what_was_put_in_and_what_came_of_it(flow: list[Op], currency: Any):
    for _, portfolio, _, _ in _steps(flow, currency):
        for desk in portfolio.desks.values():
            position, market = desk.position, desk.market
            assert portfolio.equity() == CASH + position.realized + desk.value - position.cost - position.fees
            if market.mark is not None:
                worth = position.base * market.mark // 10**market.instrument.price_decimals
                assert portfolio.equity() == portfolio.ledger.balance("USDT").total + worth
