"""The kill switch, by command or because a limit is reached (rule 18)."""

from handlers.paper.brackets import reject
from handlers.paper.commands import Halt
from handlers.paper.compile import Refused
from handlers.paper.desk import Desk
from handlers.paper.orders import Order
from handlers.paper.placing import place
from handlers.paper.portfolio import Portfolio


def halt(portfolio: Portfolio, command: Halt) -> None:
    """Refuse new orders from now on and cancel all open ones; sell what is held if that is asked."""
    portfolio.halt(command.cause)
    for order, _ in list(portfolio.open.values()):
        portfolio.cancel(order.id)
    if command.flatten:
        held = [desk for desk in portfolio.desks.values() if desk.held()]
        for number, desk in enumerate(held, 1):
            _sell(desk, command.flatten_id if number == 1 else f"{command.flatten_id}-{number}")


def _sell(desk: Desk, order_id: str) -> None:
    """Sell what is held, at market, as far as the book goes."""
    portfolio = desk.portfolio
    while portfolio.known(order_id):
        order_id += "'"
    order = Order(id=order_id, buy=False, order_type="market", quantity=desk.held(), seq=portfolio.next_seq())
    try:
        place(desk, order, forced=True)
    except Refused as refused:
        reject(desk, order, refused)


def guard(portfolio: Portfolio) -> None:
    """Halt a portfolio that has lost more than its limits allow."""
    if portfolio.limits.halting and portfolio.halted is None:
        cause = portfolio.breach()
        if cause:
            halt(portfolio, Halt(portfolio.name, cause=cause))
