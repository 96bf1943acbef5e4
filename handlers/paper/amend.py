"""Changing an open order (rule 15): a smaller quantity keeps its place in the queue, anything else queues anew."""

from typing import NamedTuple

from handlers.paper.commands import Amend
from handlers.paper.compile import Refused, check_notional, price_of, quantity_of
from handlers.paper.desk import Desk
from handlers.paper.orders import PRICED, Order
from handlers.paper.placing import NOTHING, act, check_limits, check_liquidity, plan_for, watched_price
from handlers.paper.triggers import fires


class _Change(NamedTuple):
    quantity: int
    price: int | None
    stop: int | None


def amend(desk: Desk, order: Order, command: Amend) -> None:
    """Change an order, or raise Refused and leave it as it is."""
    before = _Change(order.quantity, order.price, order.stop)
    after = _wanted(desk, order, command)
    if after == before:
        return
    keeps_place = after.price == before.price and after.quantity < before.quantity and order.resting
    waits = order.dormant
    if waits:
        desk.withdraw(order)
    order.quantity, order.price, order.stop = after
    try:
        _check(desk, order, waits=waits)
    except Refused:
        order.quantity, order.price, order.stop = before
        raise
    finally:
        if waits:
            desk.wait(order)
    desk.hold(order)
    if keeps_place or waits:
        desk.report(order)
    else:
        _requeue(desk, order, before.price)


def _wanted(desk: Desk, order: Order, command: Amend) -> _Change:
    """Return what the order is to become. Raises Refused for what it cannot have, or for values off their filters."""
    instrument = desk.market.instrument
    quantity = order.quantity if command.quantity is None else quantity_of(instrument, command.quantity)
    price, stop = order.price, order.stop
    if command.price is not None:
        if order.order_type not in PRICED:
            raise Refused("PRICE_FILTER", f"a {order.order_type} order has no price to change")
        price = price_of(instrument, command.price, "price")
    if command.stop_price is not None:
        if not order.dormant or order.extreme is not None:
            raise Refused("PRICE_FILTER", "this order has no stop price to change")
        stop = price_of(instrument, command.stop_price, "stop price")
    if quantity <= order.filled:
        raise Refused("LOT_SIZE", "the quantity is not more than what is filled already")
    return _Change(quantity, price, stop)


def _check(desk: Desk, order: Order, *, waits: bool) -> None:
    portfolio = desk.portfolio
    check_notional(order, desk.market)
    if waits:
        watched = watched_price(desk, order)
        if watched is not None and fires(order, watched):
            raise Refused("STOP_WOULD_TRIGGER", "the stop price is reached already")
    elif order.post_only:
        check_liquidity(desk, order, plan_for(desk, order))
    free = portfolio.ledger.balance(desk.asset(order)).free
    if portfolio.ledger.rise(order, desk.needed(order)) > free:
        raise Refused("INSUFFICIENT_BALANCE", "the amended order needs more than is free")
    check_limits(desk, order, NOTHING)


def _requeue(desk: Desk, order: Order, old_price: int | None) -> None:
    """Let a resting order come to the market anew under its id."""
    new_price, order.price = order.price, old_price
    desk.withdraw(order)
    order.price = new_price
    order.seq = desk.portfolio.next_seq()
    desk.report(order)
    act(desk, order, NOTHING if order.price is None else plan_for(desk, order))
