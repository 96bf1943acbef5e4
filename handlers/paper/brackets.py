"""Take-profit and stop-loss of what an order bought or sold, growing with its fills (rule 9, brackets)."""

from handlers.paper.compile import Refused
from handlers.paper.desk import Desk
from handlers.paper.orders import Order
from handlers.paper.placing import place
from handlers.paper.portfolio import Portfolio


def protect(desk: Desk, parent: Order) -> None:
    """Cover what the parent has filled so far by a take-profit and a stop-loss that shrink each other."""
    instrument = desk.market.instrument
    filled = parent.received // instrument.base_unit if parent.buy else parent.filled
    wanted = filled // instrument.step * instrument.step
    more = wanted - parent.protected
    if more <= 0:
        return
    parent.protected = wanted
    if parent.take_profit is not None:
        _cover(desk, parent, f"{parent.id}:tp", more, price=parent.take_profit)
    if parent.stop_loss is not None:
        _cover(desk, parent, f"{parent.id}:sl", more, stop=parent.stop_loss)


def _cover(
    desk: Desk, parent: Order, order_id: str, more: int, *, price: int | None = None, stop: int | None = None
) -> None:
    portfolio = desk.portfolio
    order_id = _unused_or_open(portfolio, order_id)
    if order_id in portfolio.open:
        _grow(desk, portfolio.open[order_id][0], more)
        return
    child = Order(
        id=order_id,
        buy=not parent.buy,
        order_type="limit" if stop is None else "stop_market",
        quantity=more,
        seq=portfolio.next_seq(),
        price=price,
        stop=stop,
        trigger=parent.trigger,
        reduce_only=True,
        group=f"{parent.id}:exit",
        group_kind="ouo",
    )
    try:
        place(desk, child, forced=True)
    except Refused as refused:
        reject(desk, child, refused)


def _unused_or_open(portfolio: Portfolio, name: str) -> str:
    """Return the id of the order that is to cover more: the one that does so far, or a new one if that has ended."""
    order_id, number = name, 1
    while portfolio.known(order_id) and order_id not in portfolio.open:
        number += 1
        order_id = f"{name}{number}"
    return order_id


def _grow(desk: Desk, child: Order, more: int) -> None:
    resting = child.resting
    if resting:
        desk.withdraw(child)
    child.quantity += more
    desk.hold(child)
    if resting:
        child.seq = desk.portfolio.next_seq()
        desk.rest(child)
    desk.report(child)


def reject(desk: Desk, order: Order, refused: Refused) -> None:
    """Tell that an order was refused; its id is used up, nothing else has changed."""
    order.status = "REJECTED"
    order.reason = refused.reason
    desk.portfolio.ended(order.id)
    desk.report(order, refused.message)
