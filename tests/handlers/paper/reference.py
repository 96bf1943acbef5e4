"""A paper matcher as plain as its rules: decimals, lists, a look at every order each time. Slow on purpose.

One account, one symbol, no latency. The engine is held against it.
"""

from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal

ZERO = Decimal(0)
STEP = Decimal("0.1")
OTHER = {"buy": "sell", "sell": "buy"}
TAKES_FROM = {"buy": "ask", "sell": "bid"}
RESTS_IN = {"buy": "bid", "sell": "ask"}


def better(side: str, a: Decimal, b: Decimal) -> bool:
    """Whether `a` is the better price to rest at: higher for bids, lower for asks."""
    return a > b if side == "bid" else a < b


def floor(size: Decimal) -> Decimal:
    return (size / STEP).to_integral_value(ROUND_FLOOR) * STEP


@dataclass
class Order:
    id: str
    side: str
    kind: str
    quantity: Decimal = ZERO
    quote: Decimal = ZERO
    price: Decimal | None = None
    stop: Decimal | None = None
    trail_bps: Decimal = ZERO
    extreme: Decimal | None = None
    tif: str = "GTC"
    expire: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    group: tuple[str, str] | None = None
    status: str = "NEW"
    reason: str = ""
    filled: Decimal = ZERO
    ahead: Decimal = ZERO
    seq: int = 0
    waiting: bool = False
    resting: bool = False

    @property
    def leaves(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")


class Refused(Exception):
    pass


@dataclass
class Sweep:
    takes: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    makers: list[Order] = field(default_factory=list)
    stopped: bool = False
    complete: bool = False

    @property
    def size(self) -> Decimal:
        return sum((size for _, size in self.takes), ZERO)

    @property
    def cost(self) -> Decimal:
        return sum((price * size for price, size in self.takes), ZERO)


class Reference:
    def __init__(self, cash: Decimal, maker: Decimal, taker: Decimal, *, received: bool, stp: str) -> None:
        self.cash = cash
        self.base = ZERO
        self.rate = {"maker": maker, "taker": taker}
        self.received = received
        self.stp = stp
        self.book: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
        self.taken: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
        self.last: Decimal | None = None
        self.orders: list[Order] = []
        self.fills: list[tuple[str, Decimal, Decimal, Decimal, str]] = []
        self.refused: list[tuple[str, str]] = []
        self.seq = 0
        self.now = 0

    # what is there

    def by_id(self, order_id: str) -> Order | None:
        return next((order for order in self.orders if order.id == order_id), None)

    def opened(self) -> list[Order]:
        return [order for order in self.orders if order.open]

    def resting(self, side: str) -> list[Order]:
        """Our orders in the queues of a book side: best price first, oldest first."""
        sign = -1 if side == "bid" else 1
        found = [order for order in self.opened() if order.resting and RESTS_IN[order.side] == side]
        return sorted(found, key=lambda order: (sign * (order.price or ZERO), order.seq))

    def levels(self, side: str) -> list[Decimal]:
        return sorted(self.book[side], reverse=side == "bid")

    def available(self, side: str, price: Decimal) -> Decimal:
        return max(ZERO, self.book[side].get(price, ZERO) - self.taken[side].get(price, ZERO))

    def needed(self, order: Order) -> Decimal:
        if order.side == "sell":
            return order.leaves
        fee = ZERO if self.received else max(self.rate.values())
        return (order.price or order.stop or ZERO) * order.leaves * (1 + fee)

    def locked(self, side: str, extra: Order | None = None, amount: Decimal = ZERO) -> Decimal:
        """What open orders of one side hold back: of a group the most that one of them needs."""
        groups: dict[object, Decimal] = {}
        for order in [*self.opened(), *([extra] if extra else [])]:
            if order.side == side:
                key = order.group or order.id
                groups[key] = max(groups.get(key, ZERO), amount if order is extra else self.needed(order))
        return sum(groups.values(), ZERO)

    def owned(self, side: str) -> Decimal:
        """What orders of one side pay with."""
        return self.cash if side == "buy" else self.base

    def fillable(self, order: Order) -> Decimal:
        if not order.reduce_only:
            return order.leaves
        return min(order.leaves, floor(self.base)) if order.side == "sell" else ZERO

    # the market

    def on_time(self, now: int) -> None:
        self.now = now
        due = [order for order in self.opened() if order.expire is not None and order.expire <= now]
        for order in sorted(due, key=lambda order: (order.expire or 0, order.id)):
            self.end(order, "EXPIRED")

    def on_book(self, sides: dict[str, dict[Decimal, Decimal]]) -> None:
        """Take in the new state of whole sides."""
        for side, levels in sides.items():
            for price in {*self.book[side], *levels}:
                if self.book[side].get(price) != levels.get(price):
                    self.taken[side].pop(price, None)
            self.book[side] = dict(levels)
            for order in self.resting(side):
                order.ahead = min(order.ahead, levels.get(order.price or ZERO, ZERO))
        for side in ("bid", "ask"):
            self.reached(side)

    def reached(self, side: str) -> None:
        """The opposite book at or through our limits fills them at their own price."""
        opposite = "ask" if side == "bid" else "bid"
        for price in self.levels(opposite):
            for order in self.resting(side):
                reaches = order.open and order.price is not None and not better(opposite, order.price, price)
                if reaches and self.available(opposite, price):
                    size = min(self.available(opposite, price), self.fillable(order))
                    if size:
                        self.take(opposite, price, size)
                    self.fill_or_drop(order, size)

    def on_trade(self, aggressor: str, price: Decimal, size: Decimal) -> None:
        self.last = price
        side = "bid" if aggressor == "sell" else "ask"
        for level in [level for level in self.book[side] if better(side, level, price)]:
            del self.book[side][level]
            self.taken[side].pop(level, None)
        left = size
        for order in self.resting(side):
            assert order.price is not None
            if better(side, order.price, price):
                order.ahead = ZERO
        for order in self.resting(side):
            assert order.price is not None
            if not order.open or not left or better(side, price, order.price):
                continue
            before = min(order.ahead, left) if order.price == price else ZERO
            order.ahead -= before
            # public quantity is before several of our orders at once: only our own fills use the print up
            if left > before:
                filled = min(left - before, self.fillable(order))
                left -= filled
                self.fill_or_drop(order, filled)
        self.on_last(price)

    def on_last(self, price: Decimal) -> None:
        waiting = sorted((order for order in self.opened() if order.waiting), key=lambda order: order.seq)
        for order in waiting:
            if order.trail_bps:
                assert order.extreme is not None
                if price > order.extreme if order.side == "sell" else price < order.extreme:
                    order.extreme = price
                    order.stop = self.trail(order)
        for order in waiting:
            if order.open and order.waiting and self.fires(order, price):
                self.fire(order)

    def trail(self, order: Order) -> Decimal:
        assert order.extreme is not None
        share = order.trail_bps / 10_000
        return order.extreme * (1 + share if order.side == "buy" else 1 - share)

    def fires(self, order: Order, price: Decimal) -> bool:
        assert order.stop is not None
        falling = (order.side == "sell") != order.kind.startswith("take_profit")
        return price <= order.stop if falling else price >= order.stop

    # orders

    def submit(self, order: Order) -> None:
        if self.by_id(order.id) is not None:
            self.refused.append((order.id, "DUPLICATE_ORDER_ID"))
            return
        try:
            self.accept(order)
        except Refused as refused:
            order.status, order.reason = "REJECTED", str(refused)
            self.orders.append(order)

    def accept(self, order: Order) -> None:
        waits = order.kind not in ("market", "limit")
        if waits:
            sweep = Sweep()
            self.check_stop(order)
        else:
            sweep = self.sweep(order)
            self.check_liquidity(order, sweep)
        if order.quote:
            order.quantity = sweep.size + (ZERO if sweep.complete else STEP)
        self.check_funds(order, sweep)
        self.seq += 1
        order.seq = self.seq
        self.orders.append(order)
        if order.expire is not None and order.expire <= self.now:
            self.end(order, "EXPIRED")
            return
        order.waiting = waits
        if not waits:
            self.act(order, sweep)

    def check_stop(self, order: Order) -> None:
        if order.trail_bps:
            if self.last is None:
                raise Refused("NO_LIQUIDITY")
            order.extreme = self.last
            order.stop = self.trail(order)
        elif self.last is not None and self.fires(order, self.last):
            raise Refused("STOP_WOULD_TRIGGER")

    def check_liquidity(self, order: Order, sweep: Sweep) -> None:
        if order.kind == "market" and not self.anything(TAKES_FROM[order.side]):
            raise Refused("NO_LIQUIDITY")
        if order.quote and sweep.complete and not sweep.takes:
            raise Refused("LOT_SIZE")
        if order.post_only and (sweep.takes or sweep.makers or sweep.stopped):
            raise Refused("POST_ONLY_WOULD_TAKE")

    def check_funds(self, order: Order, sweep: Sweep) -> None:
        if order.reduce_only and not self.fillable(order):
            raise Refused("INSUFFICIENT_BALANCE")
        needed = self.needed(order)
        if order.kind == "market" and order.side == "buy":
            needed = sweep.cost * (1 + (ZERO if self.received else max(self.rate.values())))
        held = self.locked(order.side)
        if self.locked(order.side, order, needed) - held > self.owned(order.side) - held:
            raise Refused("INSUFFICIENT_BALANCE")

    def anything(self, side: str) -> bool:
        return any(self.available(side, price) for price in self.book[side])

    def sweep(self, order: Order) -> Sweep:
        """Walk the other side, our own orders there included, until the order has what it wants or meets itself."""
        side = TAKES_FROM[order.side]
        own = self.resting(side) if self.stp != "NONE" else []
        sweep = Sweep()
        size = order.leaves if order.quote else self.fillable(order)
        quote = order.quote
        prices = {*self.book[side], *(o.price for o in own if o.price is not None)}
        for price in sorted(prices, reverse=side == "bid"):
            if order.price is not None and better(side, order.price, price):
                break
            want = floor(quote / price) if order.quote else size
            if not want:
                sweep.complete = True
                return sweep
            met = [
                (o, max(ZERO, o.ahead - self.taken[side].get(price, ZERO)))
                for o in own
                if o.price == price and want > max(ZERO, o.ahead - self.taken[side].get(price, ZERO))
            ]
            here = min(want, self.available(side, price))
            if met and self.stp != "EXPIRE_MAKER":
                here = min(here, met[0][1])
                sweep.stopped = True
                sweep.makers += [met[0][0]] if self.stp == "EXPIRE_BOTH" else []
            else:
                sweep.makers += [o for o, _ in met]
            if here:
                sweep.takes.append((price, here))
                size -= here
                quote -= price * here
            if sweep.stopped:
                return sweep
        if sweep.takes:
            left = floor(quote / sweep.takes[-1][0]) if order.quote else size
            sweep.complete = not left
        return sweep

    def act(self, order: Order, sweep: Sweep) -> None:
        if order.tif == "FOK" and sweep.size < order.leaves:
            self.end(order, "EXPIRED")
            return
        for maker in sweep.makers:
            self.end(maker, "EXPIRED", "SELF_TRADE_PREVENTION")
        for price, size in sweep.takes:
            self.take(TAKES_FROM[order.side], price, size)
            self.fill(order, price, size, "taker")
        if order.quote and order.open:
            order.quantity = order.filled
        if not order.open:
            return
        if sweep.stopped:
            self.end(order, "EXPIRED", "SELF_TRADE_PREVENTION")
        elif order.price is None or order.tif in ("IOC", "FOK"):
            self.end(order, "EXPIRED")
        elif not self.fillable(order):
            self.end(order, "CANCELED", "REDUCE_ONLY")
        else:
            order.resting = True
            order.ahead = self.book[RESTS_IN[order.side]].get(order.price, ZERO)

    def fire(self, order: Order) -> None:
        order.waiting = False
        self.seq += 1
        order.seq = self.seq
        if order.reduce_only and not self.fillable(order):
            self.end(order, "CANCELED", "REDUCE_ONLY")
            return
        sweep = self.sweep(order)
        if order.price is not None and order.post_only and (sweep.takes or sweep.makers or sweep.stopped):
            self.end(order, "EXPIRED", "POST_ONLY_WOULD_TAKE")
            return
        if order.price is None and order.side == "buy":
            cost = sweep.cost * (1 + (ZERO if self.received else max(self.rate.values())))
            group = [o for o in self.opened() if o is order or (o.group is not None and o.group == order.group)]
            held = max(self.needed(o) for o in group if o.side == order.side)
            if cost > self.cash - self.locked("buy") + held:
                self.end(order, "EXPIRED", "INSUFFICIENT_BALANCE")
                return
        self.act(order, sweep)

    def cancel(self, order_id: str) -> None:
        order = self.by_id(order_id)
        if order is None or not order.open:
            self.refused.append((order_id, "UNKNOWN_ORDER"))
        else:
            self.end(order, "CANCELED")

    def amend(self, order_id: str, quantity: Decimal) -> None:
        """Change the quantity of a resting order: less keeps its place, more goes to the end."""
        order = self.by_id(order_id)
        if order is None or not order.open:
            self.refused.append((order_id, "UNKNOWN_ORDER"))
            return
        if quantity <= order.filled:
            self.refused.append((order_id, "LOT_SIZE"))
            return
        before, order.quantity = order.quantity, quantity
        if self.locked(order.side) > self.owned(order.side):
            order.quantity = before
            self.refused.append((order_id, "INSUFFICIENT_BALANCE"))
        elif order.resting and quantity > before:
            self.seq += 1
            order.seq = self.seq
            order.resting = False
            self.act(order, self.sweep(order))

    def end(self, order: Order, status: str, reason: str = "") -> None:
        order.status, order.reason = status, reason
        order.resting = order.waiting = False

    # executions

    def take(self, side: str, price: Decimal, size: Decimal) -> None:
        self.taken[side][price] = self.taken[side].get(price, ZERO) + size

    def fill_or_drop(self, order: Order, size: Decimal) -> None:
        if size:
            self.fill(order, order.price or ZERO, size, "maker")
        else:
            self.end(order, "CANCELED", "REDUCE_ONLY")

    def fill(self, order: Order, price: Decimal, size: Decimal, liquidity: str) -> None:
        rate = self.rate[liquidity]
        in_base = self.received and order.side == "buy"
        fee = size * rate if in_base else price * size * rate
        sign = 1 if order.side == "buy" else -1
        self.base += sign * size - (fee if in_base else ZERO)
        self.cash -= sign * price * size + (ZERO if in_base else fee)
        order.filled += size
        order.status = "FILLED" if order.filled == order.quantity else "PARTIALLY_FILLED"
        if not order.open:
            order.resting = False
        self.fills.append((order.id, price, size, fee, liquidity))
        if order.group is not None:
            for other in [o for o in self.opened() if o.group == order.group and o is not order]:
                if order.group[0] == "oco" or other.leaves <= size:
                    self.end(other, "CANCELED")
                else:
                    other.quantity -= size
