"""Random flows of market events and commands, small enough in prices and sizes that orders meet all the time."""

from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import strategies as st

from bus.clock import MILLISECOND
from bus.events import Book, Trade
from handlers.paper.commands import Amend, Cancel, Command, Submit
from handlers.paper.engine import Engine
from handlers.paper.instrument import Instrument, InstrumentSpec
from handlers.paper.market import Tradable
from handlers.paper.orders import OrderRequest
from handlers.paper.settings import Settings

EXCHANGE, SYMBOL, NAME = "x", "BTC/USDT", "me"
SPEC = InstrumentSpec(SYMBOL, "BTC", "USDT", tick="0.5", step="0.1", min_notional="1")
Op = tuple[Any, ...]
"""("book", bids, asks), ("level", side, price, size), ("trade", side, price, size), ("order", fields), ("cancel", id),
("amend", id, quantity)."""
KINDS = [
    *["limit"] * 8,
    *["market"] * 3,
    "stop_market",
    "stop_limit",
    "take_profit_market",
    "take_profit_limit",
    "trailing_stop_market",
]


@st.composite
def flows(draw: st.DrawFn, *, longest: int = 120) -> list[Op]:
    """A flow made from a number: shrinking makes it shorter, not simpler. It begins with something to sell."""
    random = Random(draw(st.integers(0, 2**32)))
    flow: list[Op] = [("book", [("99.5", "5")], [("100", "60")]), ("trade", "buy", "100", "1")]
    flow += [("order", {"id": "first", "side": "buy", "order_type": "market", "quantity": "15"})]
    for number in range(draw(st.integers(1, longest))):
        flow.append(_op(random, number))
    return flow


def _op(random: Random, number: int) -> Op:
    what = random.choices(["book", "level", "trade", "order", "cancel", "amend"], [2, 4, 6, 7, 1, 1])[0]
    earlier = f"o{random.randint(max(0, number - 12), max(0, number - 1))}"
    match what:
        case "book":
            middle = random.randint(198, 202)
            return ("book", _side(random, middle, -1), _side(random, middle, 1))
        case "level":
            return ("level", random.choice(["bid", "ask"]), _price(random), random.choice(["0", _size(random)]))
        case "trade":
            return ("trade", random.choice(["buy", "sell"]), _price(random), _size(random))
        case "order":
            return ("order", _order(random, f"o{number}" if random.random() < 0.97 else earlier))
        case "cancel":
            return ("cancel", earlier)
        case _:
            return ("amend", earlier, _size(random))


def _price(random: Random) -> str:
    return str(Decimal(random.randint(195, 205)) / 2)


def _size(random: Random) -> str:
    return str(Decimal(random.randint(1, 40)) / 10)


def _side(random: Random, middle: int, away: int) -> list[tuple[str, str]]:
    steps = random.sample(range(1, 6), random.randint(0, 4))
    return [(str(Decimal(middle + away * step) / 2), _size(random)) for step in steps]


def _order(random: Random, order_id: str) -> dict[str, Any]:
    kind = random.choice(KINDS)
    order: dict[str, Any] = {"id": order_id, "side": random.choice(["buy", "sell"]), "order_type": kind}
    if kind == "market" and random.random() < 0.4:
        order["quote_quantity"] = str(random.randint(5, 900))
    else:
        order["quantity"] = _size(random)
        if random.random() < 0.25:
            order[random.choice(["oco", "ouo"])] = random.choice("AB")
    if kind.endswith("limit"):
        order["price"] = _price(random)
    if kind.startswith(("stop", "take_profit")):
        order["stop_price"] = _price(random)
    if kind == "trailing_stop_market":
        order["trail_bps"] = random.choice(["50", "100", "150"])
    if kind == "limit":
        order["time_in_force"] = random.choice(["GTC", "GTC", "GTC", "GTC", "IOC", "FOK", "GTD"])
    if order.get("time_in_force") == "GTD":
        order["expire"] = random.randint(1, 150) * MILLISECOND
    if kind.endswith("limit") and order.get("time_in_force", "GTC") == "GTC":
        order["post_only"] = random.random() < 0.2
    order["reduce_only"] = order["side"] == "sell" and random.random() < 0.2
    return order


def engine(settings: Settings, cash: str = "2500") -> Engine:
    """An engine with one portfolio and an empty book at time 0."""
    made = Engine()
    made.list_instrument(Instrument(EXCHANGE, SPEC))
    made.create(NAME, {"USDT": cash}, settings)
    made.on_event(Book(EXCHANGE, SYMBOL, None, 1, "ws", "snapshot", [], []))
    made.reports.clear()
    return made


def apply(to: Engine, op: Op, t: int) -> None:
    """Let one step of a flow happen at `t` milliseconds (above 0)."""
    if op[0] in ("book", "level", "trade"):
        to.on_event(event(op, t))
    else:
        to.on_command(command(op), t * MILLISECOND, t)


def event(op: Op, t: int) -> Tradable:
    recv = t * MILLISECOND
    match op:
        case ("book", bids, asks):
            return Book(EXCHANGE, SYMBOL, recv, recv, "ws", "snapshot", bids, asks)
        case ("level", side, price, size):
            bids, asks = ([(price, size)], []) if side == "bid" else ([], [(price, size)])
            return Book(EXCHANGE, SYMBOL, recv, recv, "ws", "delta", bids, asks)
        case ("trade", side, price, size):
            return Trade(EXCHANGE, SYMBOL, recv, recv, "ws", str(t), price, size, side)
    raise AssertionError(op)


def command(op: Op, portfolio: str = NAME) -> Command:
    match op:
        case ("order", fields):
            return Submit(portfolio, OrderRequest(exchange=EXCHANGE, symbol=SYMBOL, **fields))
        case ("cancel", order_id):
            return Cancel(portfolio, order_id)
        case ("amend", order_id, quantity):
            return Amend(portfolio, order_id, quantity=quantity)
    raise AssertionError(op)
