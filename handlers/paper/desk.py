"""One portfolio's business on one market: its orders there, what it took from the book, its position."""

from bus.paper import OrderReport, OrderStatus, PositionReport, Reason
from handlers.paper import units
from handlers.paper.account import Position
from handlers.paper.market import Market
from handlers.paper.orders import Order
from handlers.paper.portfolio import Portfolio
from handlers.paper.queues import RestingSide
from handlers.paper.sweep import Depth
from handlers.paper.triggers import Watch, Watched, watched


class Desk:
    """Where the orders of a portfolio meet a market. Keys of orders are book keys of their own side."""

    def __init__(self, portfolio: Portfolio, market: Market) -> None:
        self.portfolio = portfolio
        self.market = market
        self.buys = RestingSide()
        self.sells = RestingSide()
        self.taken_bids: dict[int, int] = {}
        self.taken_asks: dict[int, int] = {}
        self.watches: dict[Watched, Watch] = {"last": Watch(), "mark": Watch(), "bid": Watch(), "ask": Watch()}
        self.position = Position()
        self.value = 0
        self.trip: tuple[int, int] = (0, 0)
        """Realised result and fees when the present round trip began."""

    def depth(self, *, buy: bool) -> Depth:
        """Return what an order of one side takes from."""
        if buy:
            return Depth(self.market.asks, self.taken_asks, self.sells)
        return Depth(self.market.bids, self.taken_bids, self.buys)

    def resting(self, *, buy: bool) -> RestingSide:
        """Return our resting orders of one side."""
        return self.buys if buy else self.sells

    def take(self, order: Order, key: int, size: int) -> None:
        """Remember liquidity as taken until its level changes."""
        taken = self.taken_asks if order.buy else self.taken_bids
        taken[key] = taken.get(key, 0) + size

    def rest(self, order: Order) -> None:
        """Put an order at the end of the queue of its price."""
        side = self.market.bids if order.buy else self.market.asks
        order.resting = True
        self.resting(buy=order.buy).add(order.key, order, side.shown(order.key))

    def wait(self, order: Order) -> None:
        """Let a stop wait for its price."""
        order.dormant = True
        self.watch(order)

    def watch(self, order: Order) -> None:
        """Watch for the price of a stop that waits."""
        self.watches[watched(order)].add(order)

    def withdraw(self, order: Order) -> None:
        """Take an order from where it rests or waits."""
        if order.resting:
            order.resting = False
            self.resting(buy=order.buy).remove(order.key, order)
        elif order.dormant:
            order.dormant = False
            self.watches[watched(order)].remove(order)

    def needed(self, order: Order) -> int:
        """Return what an open order holds back: price times leaves times (1 + the higher fee), or leaves to sell."""
        instrument = self.market.instrument
        if not order.buy:
            return order.leaves * instrument.base_unit
        price = order.price if order.price is not None else order.stop or 0
        return price * order.leaves * instrument.unit * self.portfolio.reserved_rate // units.RATE_ONE

    def asset(self, order: Order) -> str:
        """Return the asset that an order pays with."""
        spec = self.market.instrument.spec
        return spec.quote if order.buy else spec.base

    def hold(self, order: Order) -> None:
        """Hold back what an order needs now; one that is executed at once needs nothing."""
        at_once = order.price is None and not order.dormant
        self.portfolio.ledger.reserve(order, self.asset(order), 0 if at_once else self.needed(order))

    def held(self) -> int:
        """Return how much of the position can be sold: whole lots of it that are not reserved."""
        instrument, ledger = self.market.instrument, self.portfolio.ledger
        free = min(self.position.base, ledger.balance(instrument.spec.base).free)
        return max(0, free) // instrument.base_unit // instrument.step * instrument.step

    def fillable(self, order: Order) -> int:
        """Return how much of an order may be filled: a reduce-only one does not go beyond what there is to reduce."""
        if not order.reduce_only:
            return order.leaves
        instrument = self.market.instrument
        held = -self.position.base if order.buy else self.position.base
        return min(order.leaves, max(0, held) // instrument.base_unit // instrument.step * instrument.step)

    def open_buys(self, but: Order) -> int:
        """Return what the open buy orders here would cost at their prices, in money units, but for one of them."""
        mine = (
            order for order, desk in self.portfolio.open.values() if desk is self and order.buy and order is not but
        )
        return sum((order.price or order.stop or 0) * order.leaves for order in mine) * self.market.instrument.unit

    def finish(self, order: Order, status: OrderStatus, reason: Reason = "", message: str = "") -> None:
        """End an order, free what it held, and say so."""
        self.withdraw(order)
        order.status = status
        order.reason = reason
        self.portfolio.ledger.release(order, self.asset(order))
        self.portfolio.ended(order.id)
        self.report(order, message)

    def report(self, order: Order, message: str = "") -> None:
        """Tell an order's state."""
        instrument = self.market.instrument
        self.portfolio.reports.append(
            OrderReport(
                self.portfolio.name,
                self.portfolio.clock.now,
                instrument.exchange,
                instrument.spec.symbol,
                order.id,
                "buy" if order.buy else "sell",
                order.order_type,
                order.status,
                instrument.size_text(order.quantity),
                instrument.size_text(order.filled),
                None if order.price is None else instrument.price_text(order.price),
                None if order.stop is None else instrument.price_text(order.stop),
                order.reason,
                message,
            )
        )

    def price_initial(self, price: int) -> None:
        """Count what the portfolio started with of our base asset at the first price that is known for it."""
        portfolio, instrument = self.portfolio, self.market.instrument
        amount = portfolio.unpriced.pop(instrument.spec.base, 0)
        if amount:
            worth = amount * price // 10**instrument.price_decimals
            self.position.book(amount, worth)
            portfolio.invested += worth
            portfolio.guard_base += worth
            portfolio.guard_high += worth
            portfolio.record.begin_with(worth)

    def revalue(self) -> None:
        """Value the position at the market's mark."""
        mark = self.market.mark
        if mark is None:
            return
        if self.portfolio.unpriced:
            self.price_initial(mark)
        value = self.position.base * mark // 10**self.market.instrument.price_decimals
        self.portfolio.value += value - self.value
        self.value = value

    def close_trip(self) -> None:
        """Count a round trip once less than a lot is left of the position."""
        instrument, position = self.market.instrument, self.position
        if abs(position.base) < instrument.step * instrument.base_unit:
            realized, fees = self.trip
            self.portfolio.record.close_trip(position.realized - realized - (position.fees - fees))
            self.trip = (position.realized, position.fees)

    def report_position(self) -> None:
        """Tell the position."""
        instrument, position = self.market.instrument, self.position
        self.portfolio.reports.append(
            PositionReport(
                self.portfolio.name,
                self.portfolio.clock.now,
                instrument.exchange,
                instrument.spec.symbol,
                units.money_text(position.base),
                position.average(),
                units.money_text(position.realized),
                units.money_text(position.fees),
            )
        )
