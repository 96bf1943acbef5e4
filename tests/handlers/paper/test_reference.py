"""The engine beside the plain matcher of reference.py on random flows: fill for fill, digit for digit."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from bus.clock import MILLISECOND
from bus.paper import CommandRejected, FillReport, OrderReport
from handlers.paper import units
from handlers.paper.engine import Engine
from handlers.paper.scenario import run
from handlers.paper.scenario_file import read
from handlers.paper.settings import Fees, Settings
from tests.handlers.paper.flows import NAME, SPEC, Op, apply, engine, flows
from tests.handlers.paper.reference import Order, Reference


def _apply(reference: Reference, op: Op, t: int) -> None:
    reference.on_time(t * MILLISECOND)
    match op:
        case ("book", bids, asks):
            reference.on_book({"bid": _levels(bids), "ask": _levels(asks)})
        case ("level", side, price, size):
            levels = {**reference.book[side], **_levels([(price, size)])}
            reference.on_book({side: {price: size for price, size in levels.items() if size}})
        case ("trade", side, price, size):
            reference.on_trade(side, Decimal(price), Decimal(size))
        case ("order", fields):
            reference.submit(_order(fields, t))
        case ("cancel", order_id):
            reference.cancel(order_id)
        case ("amend", order_id, quantity):
            reference.amend(order_id, Decimal(quantity))


def _levels(levels: list[tuple[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(size) for price, size in levels}


def _order(fields: dict[str, Any], t: int) -> Order:
    group = next(((kind, fields[kind]) for kind in ("oco", "ouo") if kind in fields), None)
    order = Order(
        fields["id"],
        fields["side"],
        fields["order_type"],
        tif=fields.get("time_in_force", "GTC"),
        expire=fields.get("expire"),
        post_only=fields.get("post_only", False),
        reduce_only=fields.get("reduce_only", False),
        group=group,
    )
    for word, ours in (
        ("quantity", "quantity"),
        ("quote_quantity", "quote"),
        ("price", "price"),
        ("stop_price", "stop"),
    ):
        if word in fields:
            setattr(order, ours, Decimal(fields[word]))
    order.trail_bps = Decimal(fields.get("trail_bps", 0))
    return order


def _computed(engine: Engine) -> tuple[list[Any], dict[str, Any], list[Any]]:
    fills = [
        (r.order, Decimal(r.price), Decimal(r.quantity), Decimal(r.fee), r.liquidity)
        for r in engine.reports
        if isinstance(r, FillReport)
    ]
    orders = {
        r.id: (
            r.status,
            r.reason,
            Decimal(r.quantity),
            Decimal(r.filled),
            None if r.stop_price is None else Decimal(r.stop_price),
        )
        for r in engine.reports
        if isinstance(r, OrderReport) and r.status != "REJECTED"
    }
    orders |= {
        r.id: ("REJECTED", r.reason) for r in engine.reports if isinstance(r, OrderReport) and r.status == "REJECTED"
    }
    refused = [(r.id, r.reason) for r in engine.reports if isinstance(r, CommandRejected)]
    return fills, orders, refused


def _expected(reference: Reference) -> tuple[list[Any], dict[str, Any], list[Any]]:
    orders: dict[str, Any] = {}
    for order in reference.orders:
        if order.status == "REJECTED":
            orders[order.id] = ("REJECTED", order.reason)
        else:
            orders[order.id] = (order.status, order.reason, order.quantity, order.filled, order.stop)
    return reference.fills, orders, reference.refused


@settings(max_examples=150, deadline=None)
@given(
    flow=flows(),
    stp=st.sampled_from(["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE"]),
    currency=st.sampled_from(["quote", "received"]),
)
def test_the_engine_agrees_with_a_plain_matcher(flow: list[Op], stp: Any, currency: Any):
    fees = Fees("0.0002", "0.0005", currency)
    made = engine(Settings(fees, self_trade=stp))
    reference = Reference(
        Decimal(2500), Decimal(fees.maker), Decimal(fees.taker), received=currency == "received", stp=stp
    )
    for t, op in enumerate(flow, 1):
        apply(made, op, t)
        _apply(reference, op, t)
        assert _computed(made) == _expected(reference), (t, op)
        ledger = made.portfolios[NAME].ledger
        for asset, side in (("USDT", "buy"), ("BTC", "sell")):
            balance = ledger.balance(asset)
            assert Decimal(units.money_text(balance.total)) == reference.owned(side)
            assert Decimal(units.money_text(balance.locked)) == reference.locked(side)


@settings(max_examples=50, deadline=None)
@given(flow=flows(), stp=st.sampled_from(["EXPIRE_MAKER", "EXPIRE_BOTH"]))
def test_a_scenario_file_of_a_flow_comes_to_the_same(flow: list[Op], stp: Any):
    steps = [_step(op, t) for t, op in enumerate(flow, 1) if op[0] != "amend"]
    config = {"instrument": asdict(SPEC), "stp": stp, "fees": {"maker": "0.0002", "taker": "0.0005"}}
    expect = {"fills": [], "balances": {"USDT": {}, "BTC": {}}, "command_rejections": []}
    scenario = {"id": "S", "config": config, "initial": {"USDT": "2500"}, "steps": steps, "expect": expect}
    [read_back] = read(json.dumps({"scenarios": [scenario]}).encode())
    computed = run(read_back).computed
    reference = Reference(Decimal(2500), Decimal("0.0002"), Decimal("0.0005"), received=False, stp=stp)
    for t, op in enumerate(flow, 1):
        if op[0] != "amend":
            _apply(reference, op, t)
    assert [(fill["order"], Decimal(fill["price"]), Decimal(fill["qty"])) for fill in computed["fills"]] == [
        (order, price, size) for order, price, size, _, _ in reference.fills
    ]
    assert [(refused["id"], refused["reason"]) for refused in computed["command_rejections"]] == reference.refused
    for asset, side in (("USDT", "buy"), ("BTC", "sell")):
        assert Decimal(computed["balances"][asset]["total"]) == reference.owned(side)
        assert Decimal(computed["balances"][asset]["locked"]) == reference.locked(side)


def _step(op: Op, t: int) -> dict[str, Any]:
    match op:
        case ("book", bids, asks):
            return {"t": t, "type": "book", "bids": bids, "asks": asks}
        case ("level", side, price, size):
            return {"t": t, "type": "level", "side": side, "price": price, "size": size}
        case ("trade", side, price, size):
            return {"t": t, "type": "trade", "aggressor": side, "price": price, "size": size}
        case ("cancel", order_id):
            return {"t": t, "type": "cancel", "id": order_id}
    words = {"quantity": "qty", "quote_quantity": "quote_qty", "stop_price": "stop", "time_in_force": "tif"}
    order = {words.get(word, word): value for word, value in op[1].items()}
    if "expire" in order:
        order["expire_t"] = order.pop("expire") // MILLISECOND
    return {"t": t, "type": "order", **order}
