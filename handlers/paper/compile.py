"""From what is asked for to an order in integers, or to the reason why it is refused (rule 11, the filters)."""

from bus.paper import Reason
from handlers.paper import units
from handlers.paper.instrument import Instrument
from handlers.paper.market import Market
from handlers.paper.orders import PRICED, STOPPED, Order, OrderRequest
from handlers.paper.settings import Settings
from handlers.paper.triggers import BPS_ONE

_BPS_DECIMALS = 4


class Refused(Exception):
    """An order or a command is refused with a code and a sentence; nothing has changed."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


def compile_order(request: OrderRequest, market: Market, settings: Settings, seq: int) -> Order:
    """Check price, quantity and notional against the instrument's filters. Raises Refused."""
    instrument = market.instrument
    kind = request.order_type
    order = Order(
        id=request.id,
        buy=request.side == "buy",
        order_type=kind,
        quantity=0,
        seq=seq,
        price=price_of(instrument, request.price, "price") if kind in PRICED else None,
        stop=price_of(instrument, request.stop_price, "stop price") if kind in STOPPED else None,
        trigger=request.trigger or settings.trigger,
        time_in_force=request.time_in_force,
        expire=request.expire if request.time_in_force == "GTD" else None,
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        group_kind="ouo" if request.ouo else "oco",
    )
    if request.ouo or request.oco:
        # a group is of one symbol: its orders shrink each other, and hold back the same asset
        order.group = f"{request.exchange} {request.symbol} {order.group_kind} {request.ouo or request.oco}"
    if kind == "trailing_stop_market":
        _trail(order, request, instrument)
    if request.take_profit is not None:
        order.take_profit = price_of(instrument, request.take_profit, "take-profit price")
    if request.stop_loss is not None:
        order.stop_loss = price_of(instrument, request.stop_loss, "stop-loss price")
    if request.quote_quantity is not None:
        if kind != "market" or request.quantity is not None:
            raise Refused("LOT_SIZE", "a quote quantity is for market orders, instead of a quantity")
        order.quote = _positive_money(request.quote_quantity)
    else:
        order.quantity = quantity_of(instrument, request.quantity)
    check_notional(order, market)
    return order


def price_of(instrument: Instrument, text: str | None, what: str) -> int:
    """Return a price in atoms. Raises Refused when it is missing, not above 0, or off the tick."""
    if text is None:
        raise Refused("PRICE_FILTER", f"this order needs a {what}")
    try:
        price = units.parse(text, instrument.price_decimals)
    except ValueError:
        price = -1
    if price <= 0 or price % instrument.tick:
        raise Refused("PRICE_FILTER", f"the {what} {text} is not a positive multiple of {instrument.spec.tick}")
    return price


def quantity_of(instrument: Instrument, text: str | None) -> int:
    """Return a quantity in atoms. Raises Refused when it is missing, not above 0, or off the lot step."""
    if text is None:
        raise Refused("LOT_SIZE", "this order needs a quantity")
    try:
        size = units.parse(text, instrument.size_decimals)
    except ValueError:
        size = -1
    if size <= 0 or size % instrument.step:
        raise Refused("LOT_SIZE", f"the quantity {text} is not a positive multiple of {instrument.spec.step}")
    return size


def check_notional(order: Order, market: Market) -> None:
    """Refuse an order that is worth too little at its price, or at the best one that it would take."""
    instrument = market.instrument
    notional = order.quote
    if not notional:
        price = order.price or order.stop or (market.ask() if order.buy else market.bid())
        if price is None:
            return
        notional = price * order.quantity * instrument.unit
    if notional < instrument.min_notional:
        least, currency = instrument.spec.min_notional, instrument.spec.quote
        raise Refused("MIN_NOTIONAL", f"the order is worth {units.money_text(notional)} {currency}, less than {least}")


def _trail(order: Order, request: OrderRequest, instrument: Instrument) -> None:
    """Read a trailing stop's distance."""
    if (request.trail_amount is None) == (request.trail_bps is None):
        raise Refused("PRICE_FILTER", "a trailing stop needs a distance, in basis points or as an amount")
    if request.trail_amount is not None:
        order.trail_amount = price_of(instrument, request.trail_amount, "trailing distance")
        return
    try:
        bps = units.parse(request.trail_bps or "", _BPS_DECIMALS)
    except ValueError:
        bps = 0
    if not 0 < bps < BPS_ONE:
        raise Refused("PRICE_FILTER", f"a trailing distance of {request.trail_bps} basis points is not usable")
    order.trail_bps = bps


def _positive_money(text: str) -> int:
    try:
        amount = units.money(text)
    except ValueError:
        amount = 0
    if amount <= 0:
        raise Refused("LOT_SIZE", f"the quote quantity {text} is not above 0")
    return amount
