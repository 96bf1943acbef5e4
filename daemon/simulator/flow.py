"""Who sends which order: limit, cancel and market flow around a hidden fair price whose volatility clusters.

Deterministic: everything is drawn from one `random.Random`. The book's size stays near a target because cancelling
becomes likelier the more orders stand; the spread stays small because limit orders crowd near the best prices.
"""

from math import exp
from random import Random
from typing import Final

from daemon.simulator.orderbook import BUY, SELL, Fill, OrderBook
from daemon.simulator.symbols import Symbol

TARGET_ORDERS: Final = 1_500
FIRST_LEVELS: Final = 400
MARKET_SHARE: Final = 0.14
CALM: Final = 0.35
"""Ticks that the fair price moves in one order event when volatility is usual."""
PERSISTENCE: Final = 0.9995
SHOCK: Final = 0.03
"""Volatility's logarithm is an autoregressive process with these two: shocks fade over thousands of events."""
PULL: Final = 0.08
"""How much a tick between the fair and the middle price tilts the side of market orders."""
NEAR: Final = 9.0
"""Mean distance in ticks of a limit order from the best price of its own side, most of the time …"""
FAR: Final = 160.0
"""… and in one case of eight."""


class Flow:
    """The order flow of one symbol onto its book."""

    def __init__(self, symbol: Symbol, book: OrderBook, random: Random) -> None:
        self._book = book
        self._random = random
        self._fair = float(symbol.price)
        self._floor = symbol.price // 20
        self._log_volatility = 0.0
        self._sizes = [max(1, round(random.lognormvariate(0.0, 1.1) * symbol.size)) for _ in range(4_096)]
        self._steps = [random.gauss(0.0, 1.0) for _ in range(4_096)]  # drawing anew each time costs five times as much
        self._fill_book(symbol.price)

    def _fill_book(self, middle: int) -> None:
        """Begin with hundreds of levels on both sides."""
        for step in range(1, FIRST_LEVELS + 1):
            self._book.limit(BUY, middle - step, self._size() * (1 + step // 40))
            self._book.limit(SELL, middle + step, self._size() * (1 + step // 40))

    def _size(self) -> int:
        return self._sizes[self._random.getrandbits(12)]

    def step(self) -> tuple[int, list[Fill]]:
        """Send one order; return its side and what it filled."""
        random = self._random
        self._log_volatility = PERSISTENCE * self._log_volatility + SHOCK * self._steps[random.getrandbits(12)]
        self._fair += CALM * self._steps[random.getrandbits(12)] * exp(self._log_volatility)
        if self._fair < self._floor:
            self._fair = float(self._floor)
        book = self._book
        bid, ask = book.bids.best, book.asks.best
        if bid is None or ask is None:
            return self._refill(bid, ask)
        draw = random.random()
        if draw < MARKET_SHARE:
            tilt = 0.5 + PULL * (self._fair - (bid + ask) / 2)
            side = BUY if random.random() < tilt else SELL
            return side, book.market(side, self._size())
        if (draw - MARKET_SHARE) / (1 - MARKET_SHARE) < 0.5 * len(book.orders) / TARGET_ORDERS:
            orders = book.orders
            book.cancel(orders[int(random.random() * len(orders))])
            return BUY, []
        return self._limit(bid, ask)

    def _limit(self, bid: int, ask: int) -> tuple[int, list[Fill]]:
        random = self._random
        side = random.getrandbits(1)
        distance = int(random.expovariate(1.0 / (FAR if random.getrandbits(3) == 0 else NEAR)))
        if side == BUY:
            price = min(bid + 1, ask - 1 if ask - bid > 1 else bid) - distance
        else:
            price = max(ask - 1, bid + 1 if ask - bid > 1 else ask) + distance
        return side, self._book.limit(side, max(1, price), self._size())

    def _refill(self, bid: int | None, ask: int | None) -> tuple[int, list[Fill]]:
        """A side ran empty: somebody quotes at the fair price."""
        middle = max(1, round(self._fair))
        if bid is None:
            return BUY, self._book.limit(BUY, max(1, min(middle, (ask or middle + 1) - 1)), self._size())
        return SELL, self._book.limit(SELL, max(middle, bid + 1), self._size())
