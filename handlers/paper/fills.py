"""Executions: what a fill does to balances, position, the order itself and the orders that depend on it."""

from bus.paper import FillReport, Liquidity
from handlers.paper import units
from handlers.paper.desk import Desk
from handlers.paper.orders import Order
from handlers.paper.sweep import Plan


def fill(desk: Desk, order: Order, price: int, size: int, liquidity: Liquidity) -> None:
    """Execute `size` atoms of an open order at `price`; `size` is at most its leaves."""
    order.filled += size
    order.fills += 1
    fee, currency = _settle(desk, order, price, size, liquidity)
    instrument, portfolio = desk.market.instrument, desk.portfolio
    portfolio.reports.append(
        FillReport(
            portfolio.name,
            portfolio.clock.now,
            instrument.exchange,
            instrument.spec.symbol,
            f"{order.id}-{order.fills}",
            order.id,
            "buy" if order.buy else "sell",
            instrument.price_text(price),
            instrument.size_text(size),
            units.money_text(fee),
            currency,
            liquidity,
        )
    )
    portfolio.dirty[desk] = None
    if order.group is not None:
        _tell_group(desk, order, size)
    if order.take_profit is not None or order.stop_loss is not None:
        portfolio.unprotected[order.id] = (order, desk)
    if order.filled == order.quantity:
        desk.finish(order, "FILLED")
    else:
        order.status = "PARTIALLY_FILLED"
        desk.hold(order)
        desk.report(order)


def _settle(desk: Desk, order: Order, price: int, size: int, liquidity: Liquidity) -> tuple[int, str]:
    """Move money and base; return the fee and its currency. A fee in base counts at the price of the fill."""
    instrument, portfolio, position = desk.market.instrument, desk.portfolio, desk.position
    spec, ledger = instrument.spec, portfolio.ledger
    if portfolio.unpriced:
        desk.price_initial(desk.market.mark or price)
    notional = price * size * instrument.unit
    base = size * instrument.base_unit
    rate = portfolio.maker if liquidity == "maker" else portfolio.taker
    worth = notional * rate // units.RATE_ONE
    if not order.buy:
        ledger.move(spec.base, -base)
        ledger.move(spec.quote, notional - worth)
        position.book(-base, -notional)
        fee = worth
    elif portfolio.received:
        fee = base * rate // units.RATE_ONE
        ledger.move(spec.base, base - fee)
        ledger.move(spec.quote, -notional)
        position.book(base - fee, notional - worth)
        order.received += base - fee
    else:
        ledger.move(spec.base, base)
        ledger.move(spec.quote, -notional - worth)
        position.book(base, notional)
        order.received += base
        fee = worth
    position.fees += worth
    desk.close_trip()
    return fee, spec.base if order.buy and portfolio.received else spec.quote


def _tell_group(desk: Desk, order: Order, size: int) -> None:
    """The first execution cancels the others of an OCO group, and shrinks those of an OUO group by as much."""
    for other in desk.portfolio.ledger.group(order.group or ""):
        if other is order:
            continue
        where = desk.portfolio.open[other.id][1]
        if other.group_kind == "oco" or other.leaves <= size:
            where.finish(other, "CANCELED")
        else:
            other.quantity -= size
            where.hold(other)
            where.report(other)


def execute(desk: Desk, order: Order, plan: Plan) -> None:
    """Do what was planned: expire our own orders that are met, and fill level by level as taker."""
    for maker in plan.makers:
        if maker.open:
            desk.finish(maker, "EXPIRED", "SELF_TRADE_PREVENTION")
    for take in plan.takes:
        if order.open:
            desk.take(order, take.key, take.size)
            fill(desk, order, take.price, take.size, "taker")
