"""How an order comes to the market: the checks that await it there, taking, resting, waiting (rules 1, 2, 10, 11)."""

from handlers.paper import units
from handlers.paper.compile import Refused
from handlers.paper.desk import Desk
from handlers.paper.fills import execute
from handlers.paper.orders import Order
from handlers.paper.sweep import Plan, sweep
from handlers.paper.triggers import fires, trailing_stop, watched

NOTHING = Plan([], [], stopped=False, complete=False)


def place(desk: Desk, order: Order, *, forced: bool = False) -> None:
    """Accept a new order and let it act. Raises Refused before anything has changed. `forced`: our own flattening."""
    waits = order.order_type not in ("market", "limit")
    plan = NOTHING
    if waits:
        _check_stop(desk, order)
    else:
        plan = plan_for(desk, order)
        check_liquidity(desk, order, plan)
    check_funds(desk, order, plan, waits=waits)
    if not forced:
        check_permission(desk, order, plan)
    _accept(desk, order, waits=waits)
    if order.expire is not None and order.expire <= desk.portfolio.clock.now:
        desk.finish(order, "EXPIRED")
    elif not waits:
        act(desk, order, plan)


def _accept(desk: Desk, order: Order, *, waits: bool) -> None:
    portfolio = desk.portfolio
    portfolio.open[order.id] = (order, desk)
    portfolio.ledger.join(order)
    if waits:
        desk.wait(order)
    desk.hold(order)
    desk.report(order)


def plan_for(desk: Desk, order: Order) -> Plan:
    """Return what an order takes now; a passive one finds nothing at once."""
    depth = desk.depth(buy=order.buy)
    limit = None if order.price is None else depth.side.sign * order.price
    if limit is not None:
        public, own = depth.side.keys, depth.own.keys
        if (not public or public[-1] < limit) and (not own or own[-1] < limit):
            return NOTHING
    instrument = desk.market.instrument
    size = order.leaves if order.quote else desk.fillable(order)
    quote = order.quote // instrument.unit
    return sweep(depth, limit, size, quote, instrument.step, desk.portfolio.settings.self_trade)


def check_liquidity(desk: Desk, order: Order, plan: Plan) -> None:
    """Refuse a market order without a counterpart, and a post-only order that would take. Raises Refused."""
    if order.price is None:
        if desk.depth(buy=order.buy).best() is None:
            raise Refused("NO_LIQUIDITY", "the book shows nothing that this order could take")
        if order.quote:
            if plan.complete and not plan.takes:
                raise Refused("LOT_SIZE", f"the quote quantity buys less than {desk.market.instrument.spec.step}")
            order.quantity = plan.size + (0 if plan.complete else desk.market.instrument.step)
    elif order.post_only and (plan.takes or plan.makers or plan.stopped):
        raise Refused("POST_ONLY_WOULD_TAKE", "a post-only order at this price would take at once")


def _check_stop(desk: Desk, order: Order) -> None:
    """Refuse a stop that is in the market already; start a trailing one at the last price. Raises Refused."""
    price = watched_price(desk, order)
    if order.stop is None:
        if price is None:
            raise Refused("NO_LIQUIDITY", "a trailing stop needs a price to start from, and there is none yet")
        order.extreme = price
        order.stop = trailing_stop(order, price)
        if order.stop <= 0:
            raise Refused("PRICE_FILTER", "the trailing distance is more than the price")
    elif price is not None and fires(order, price):
        raise Refused("STOP_WOULD_TRIGGER", "the stop price is reached already")


def watched_price(desk: Desk, order: Order) -> int | None:
    """Return what the price that an order watches is now."""
    market = desk.market
    match watched(order):
        case "last":
            return market.last
        case "mark":
            return market.mark
        case "bid":
            return market.bid()
        case "ask":
            return market.ask()


def check_funds(desk: Desk, order: Order, plan: Plan, *, waits: bool) -> None:
    """Refuse what cannot be paid for, or has nothing to reduce. Raises Refused."""
    portfolio, instrument = desk.portfolio, desk.market.instrument
    if order.reduce_only and not desk.fillable(order):
        raise Refused("INSUFFICIENT_BALANCE", "there is no position that this order could reduce")
    if order.price is None and not waits and order.buy:
        needed = plan.notional * instrument.unit * portfolio.reserved_rate // units.RATE_ONE
    else:
        needed = desk.needed(order)
    asset = desk.asset(order)
    free = portfolio.ledger.balance(asset).free
    extra = portfolio.ledger.rise(order, needed)
    if extra > free:
        raise Refused(
            "INSUFFICIENT_BALANCE",
            f"the order needs {units.money_text(extra)} {asset}, free are {units.money_text(free)}",
        )


def check_permission(desk: Desk, order: Order, plan: Plan) -> None:
    """Refuse what the kill switch or a risk limit forbids (rule 18). Raises Refused."""
    portfolio, limits = desk.portfolio, desk.portfolio.limits
    if portfolio.halted is not None:
        raise Refused("KILL_SWITCH", f"trading is halted: {portfolio.halted}")
    check_limits(desk, order, plan)
    if limits.open_orders is not None and len(portfolio.open) >= limits.open_orders:
        raise Refused("RISK_LIMIT", "there are max_open_orders open already")
    if portfolio.too_fast():
        raise Refused("RISK_LIMIT", "more than max_orders_per_second")


def check_limits(desk: Desk, order: Order, plan: Plan) -> None:
    """Refuse an order that is worth too much, alone or with the position and what is open already. Raises Refused."""
    limits, unit = desk.portfolio.limits, desk.market.instrument.unit
    price = order.price or order.stop
    if limits.order_notional is not None:
        worth = (plan.notional if price is None else price * order.quantity) * unit
        if worth > limits.order_notional:
            raise Refused("RISK_LIMIT", "the order is worth more than max_order_notional")
    if limits.position_notional is not None:
        mark = desk.market.mark or price or 0
        held = desk.position.base * mark // 10**desk.market.instrument.price_decimals
        more = (plan.notional if price is None else price * order.leaves) * unit
        after = held + more + desk.open_buys(order) if order.buy else held - more
        if abs(after) > max(limits.position_notional, abs(held)):
            raise Refused("RISK_LIMIT", "the position would be worth more than max_position_notional")


def act(desk: Desk, order: Order, plan: Plan) -> None:
    """Let an accepted order take what was planned; the rest of it rests or expires."""
    if order.time_in_force == "FOK" and plan.size < order.leaves:
        desk.finish(order, "EXPIRED")
        return
    execute(desk, order, plan)
    if order.quote and order.open:
        order.quantity = order.filled  # its last part is what the book could not fill
    if not order.open:
        return
    if plan.stopped:
        desk.finish(order, "EXPIRED", "SELF_TRADE_PREVENTION")
    elif order.price is None or order.time_in_force in ("IOC", "FOK"):
        desk.finish(order, "EXPIRED")
    elif not desk.fillable(order):
        desk.finish(order, "CANCELED", "REDUCE_ONLY", "there is nothing left to reduce")
    else:
        desk.rest(order)


def fire(desk: Desk, order: Order) -> None:
    """A stop has triggered: it becomes a market or a limit order against the book as it is now (rule 7)."""
    desk.withdraw(order)
    order.seq = desk.portfolio.next_seq()  # its place in time among resting orders begins here
    if order.reduce_only and not desk.fillable(order):
        desk.finish(order, "CANCELED", "REDUCE_ONLY", "there is nothing left to reduce")
        return
    plan = plan_for(desk, order)
    if order.price is not None:
        if order.post_only and (plan.takes or plan.makers or plan.stopped):
            desk.finish(order, "EXPIRED", "POST_ONLY_WOULD_TAKE")
        else:
            act(desk, order, plan)
        return
    if order.buy:
        cost = plan.notional * desk.market.instrument.unit * desk.portfolio.reserved_rate // units.RATE_ONE
        ledger = desk.portfolio.ledger
        if cost > ledger.balance(desk.asset(order)).free + max([order.reserved, *_group_reserves(desk, order)]):
            desk.finish(order, "EXPIRED", "INSUFFICIENT_BALANCE", "the book asks more than the portfolio has")
            return
    desk.hold(order)
    act(desk, order, plan)


def _group_reserves(desk: Desk, order: Order) -> list[int]:
    if order.group is None:
        return []
    return [other.reserved for other in desk.portfolio.ledger.group(order.group) if other.buy == order.buy]
